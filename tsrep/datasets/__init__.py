"""Series and labelled panels: from a file or a name to arrays, split and standardised."""

from tsrep.datasets.loading import (
    is_classification,
    load,
    load_any,
    load_classification,
    load_wide,
)
from tsrep.datasets.series import Collection, Panel, Scaler, Series, Split, check_length

__all__ = [
    "Collection",
    "Panel",
    "Scaler",
    "Series",
    "Split",
    "check_length",
    "is_classification",
    "load",
    "load_any",
    "load_classification",
    "load_wide",
]
