"""Files that nobody tuned on: ``tools/train_forecaster.py --data FILE`` without any option.

The best control is that of the least error on the test rows, which no user knows beforehand: a
choice that is level with it has lost nothing.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import geometric_mean

from suites.table import Row

from tspcrep.tools import train_forecaster
from tsrep.reports.results import read_result

OWN = ("linear_path", "random_encoder")
"""Parts of the product, which are no controls of it."""


def rows(path: Path, seeds: tuple[int, ...]) -> Iterator[Row]:
    """Average MSE over the horizons, coverage of the interval of 80 %, and the best control."""
    with tempfile.TemporaryDirectory() as folder:
        config = train_forecaster.Config(str(path), Path(folder, "run"), seeds=seeds)
        train_forecaster.main(config)
        result = read_result(config.output, "forecasting")
    average = {name: found["average"] for name, found in result["controls"].items()}
    own = result["average"]
    yield Row(path.stem, "product", "mse", own["mse"], "", own["mse_std"], len(seeds), "seeds")
    for name, scores in average.items():
        yield Row(path.stem, name, "mse", scores["mse"])
    fixed = [scores["mse"] for name, scores in average.items() if name not in OWN]
    yield Row(path.stem, "product", "mse_over_best_control", own["mse"] / min(fixed))
    for horizon, inside in result["coverage"].items():
        yield Row(f"{path.stem}/{horizon}", "product", "coverage", inside)


def means(values: Mapping[tuple[str, str, str], float], names: Sequence[str]) -> Iterator[Row]:
    """The geometric mean, and the worst, of MSE over that of the best control, over the files.

    values: by file, system and metric.
    """
    metric = "mse_over_best_control"
    ratios = [values[name, "product", metric] for name in names]
    yield Row("mean", "product", metric, geometric_mean(ratios), seeds=len(names), over="files")
    yield Row("worst", "product", metric, max(ratios), seeds=len(names), over="files")
