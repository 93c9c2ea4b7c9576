"""Average predictions over the segments of an over-segmentation, within which objects end."""

from dataclasses import replace

import numpy as np

from pcrep.cloud import Cloud
from pcrep.preparation.segments import over_segment


def with_segments(cloud: Cloud) -> Cloud:
    """The cloud with ``segment``, found by the default over-segmentation where it has none."""
    return cloud if cloud.segment is not None else replace(cloud, segment=over_segment(cloud))


def smoothed(values: np.ndarray, segment: np.ndarray) -> np.ndarray:
    """Values of points (N, C) averaged over each segment, given as (N,) int64.

    Points of segment -1 keep their values.
    """
    known = segment >= 0
    if not known.any():
        return values
    rows = segment[known]
    count = np.maximum(np.bincount(rows), 1)
    sums = [np.bincount(rows, column) for column in values[known].T.astype(np.float64)]
    found = values.copy()
    found[known] = (np.stack(sums, 1) / count[:, None])[rows]
    return found
