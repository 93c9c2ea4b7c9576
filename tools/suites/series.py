"""AutoTCL on the published series, beside its controls and the paper's own numbers.

Each case trains one encoder per seed, with the code and defaults of ``tools/pretrain_autotcl.py``,
and scores it by both readouts. Test rows are used for the errors only.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, pstdev

from suites.table import Row

from tspcrep.tools import pretrain_autotcl
from tsrep.datasets import load
from tsrep.evaluation import forecasts

CASES = {
    "ETTh1/univariate": 0.076,
    "ETTh2/univariate": 0.158,
    "ETTm1/univariate": 0.046,
    "WTH/univariate": 0.160,
    "ETTh1/multivariate": 0.656,
    "ETTh2/multivariate": 1.191,
    "ETTm1/multivariate": 0.409,
}
"""Case -> average MSE of AutoTCL in its paper (Tables 10 and 11)."""


def rows(case: str, seeds: tuple[int, ...]) -> Iterator[Row]:
    """Rows of one case: errors by horizon and on average, and seconds."""
    name, mode = case.split("/")
    univariate = mode == "univariate"
    series = load(name, univariate=univariate)
    config = pretrain_autotcl.Config(name, Path("runs"), univariate=univariate)
    results = []
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            results.append(pretrain_autotcl.train_and_score(config, series, seed, Path(folder)))
    summary = forecasts.summary(series, seeds, results, forecasts.control_scores(series))
    random = summary["controls"].pop("random_encoder")
    systems = {
        "autotcl-product": summary,
        "autotcl-probe": summary["probe"],
        "random_encoder-product": random,
        "random_encoder-probe": random["probe"],
        **summary["controls"],
    }
    for system, scores in systems.items():
        random_part = system.startswith(("autotcl", "random"))
        for horizon, errors in scores["horizons"].items():
            for metric, value in errors.items():
                yield Row(f"{case}/{horizon}", system, metric, value, seeds=len(seeds))
        for metric in ("mse", "mae"):
            yield Row(
                f"{case}/average",
                system,
                metric,
                scores["average"][metric],
                std=scores["average"]["mse_std"] if random_part and metric == "mse" else None,
                seeds=len(seeds),
            )
    yield Row(f"{case}/average", "autotcl-paper", "mse", CASES[case])
    parts = ("train_s", "encode_s", "probe_s")
    totals = [sum(result["timing"][part] for part in parts) for result in results]
    yield Row(f"{case}/time", "autotcl", "seconds", fmean(totals), "s", pstdev(totals), len(seeds))
    for part in parts:
        value = fmean(result["timing"][part] for result in results)
        yield Row(f"{case}/time", "autotcl", part, value, "s", seeds=len(seeds))
