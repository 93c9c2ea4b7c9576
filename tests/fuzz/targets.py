"""Every reader of files from elsewhere, with a small valid file and how it is damaged."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple

from tests.fuzz import mutations


class Target(NamedTuple):
    """make(folder): writes valid files, and returns that to damage. read: reads a damaged one."""

    make: Callable[[Path], Path]
    read: Callable[[Path], object]
    damage: Callable[[bytes, Random], bytes] = mutations.of_binary


def targets() -> dict[str, Target]:
    """By name, all there are."""
    from tests.fuzz import of_points, of_runs, of_series  # what they import takes seconds

    return {**of_series.TARGETS, **of_points.TARGETS, **of_runs.TARGETS}
