"""What vectors of windows are good for without labels: search, anomalies, change points.

    from tsrep.mining import AnomalyDetector, ChangePoints, SimilaritySearch

    scores = AnomalyDetector(window=48).fit(normal).score(series)  # series (T, C) -> (T,)

Clusters are in :mod:`tsrep.sklearn`, the same for sktime in :mod:`tsrep.sktime`.
"""

from tsrep.mining.anomalies import AnomalyDetector, AnomalyStream
from tsrep.mining.change_points import ChangePoints
from tsrep.mining.search import Match, Motif, SimilaritySearch

__all__ = [
    "AnomalyDetector",
    "AnomalyStream",
    "ChangePoints",
    "Match",
    "Motif",
    "SimilaritySearch",
]
