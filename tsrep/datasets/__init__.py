"""Series and labelled panels: from a file or a name to arrays, split and standardised."""

from tsrep.datasets.loading import is_classification, load, load_classification
from tsrep.datasets.series import Panel, Scaler, Series, Split, check_length

__all__ = [
    "Panel",
    "Scaler",
    "Series",
    "Split",
    "check_length",
    "is_classification",
    "load",
    "load_classification",
]
