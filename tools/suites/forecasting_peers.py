"""Forecasters and classifiers of other packages, on our windows, split and scaling.

Networks of neuralforecast (`pip install -e '.[bench]'`) learn here as ours do: one network for all
horizons, the loss of ``tsrep.forecasting.network.forecast_loss``, windows of train rows drawn at
random, the checkpoint of least validation error. Forecasts start from every origin of the test
rows. Only the training loop differs from ``NeuralForecast.fit``, which copies all windows of the
series in each step, 255 MB on ETTh1 and 1.9 GB on ETTm1.
"""

import copy
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from statistics import fmean, pstdev

import numpy as np
import torch
from suites.table import Row
from torch import Tensor, nn
from tqdm import tqdm

from tsrep.datasets import load, load_classification
from tsrep.datasets.series import Panel, Series
from tsrep.evaluation import forecasts
from tsrep.forecasting.network import (
    ForecasterConfig,
    as_forecast,
    forecast_loss,
    predictions,
    validation_error,
)
from tsrep.forecasting.windows import ForecastWindows, evaluation_windows

CASES = ("ETTh1", "ETTh2", "ETTm1")
LOOK_BACK = 336
"""Steps of the look-back window, as in the papers of all three networks."""
CHECK, JUDGED = 100, 400
"""Steps between validations, and the number of evenly spaced origins in each."""


@dataclass(frozen=True)
class Budget:
    """Training budget of a peer: Adam's learning rate, steps, and one-channel windows per step.

    The rate is the better of 1e-3 and 3e-4 on the validation rows of ETTh1. The 102,400 windows of
    PatchTST cost ten times as much on one core as the 384,000 of NLinear.
    """

    rate: float
    steps: int
    batch: int


BUDGETS = {
    "nlinear": Budget(1e-3, 1500, 256),
    "dlinear": Budget(1e-3, 1500, 256),
    "patchtst": Budget(3e-4, 800, 128),
}
SETS = ("BasicMotions", "JapaneseVowels")


class Peer(nn.Module):
    """A network of neuralforecast with our interface: (B, L, C) -> (B, H, C), channels apart."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, past: Tensor, known: None = None) -> Tensor:
        rows = past.transpose(1, 2).flatten(0, 1)[..., None]  # (B C, L, 1)
        ahead = self.network({"insample_y": rows})  # (B C, H, 1)
        return ahead.view(len(past), past.shape[2], -1).transpose(1, 2)


def peer(name: str, horizon: int) -> Peer:
    """An untrained peer. PatchTST at the size of its authors' scripts for ETTh1 and ETTh2."""
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)  # it tells of every seed
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    from neuralforecast.losses.pytorch import MSE
    from neuralforecast.models import DLinear, NLinear, PatchTST

    common = {"h": horizon, "input_size": LOOK_BACK, "loss": MSE(), "max_steps": 1}
    if name == "nlinear":
        return Peer(NLinear(**common))
    if name == "dlinear":
        return Peer(DLinear(**common))
    size = {"encoder_layers": 3, "n_heads": 4, "hidden_size": 16, "linear_hidden_size": 128}
    patches = {"patch_len": 16, "stride": 8, "dropout": 0.3, "fc_dropout": 0.3}
    return Peer(PatchTST(**common, **size, **patches))


def installed() -> dict[str, str]:
    """Names of the peers' rows by peer; none without neuralforecast."""
    if find_spec("neuralforecast") is None:
        return {}
    return {name: _versioned(name) for name in BUDGETS}


def rows(name: str, system: str, seeds: tuple[int, ...]) -> Iterator[Row]:
    """Test errors of a peer on a set, multivariate."""
    series, found, seconds = load(name), [], []
    for seed in seeds:
        started = time.process_time()
        model, _ = train(lambda h: peer(system, h), series, BUDGETS[system], seed)
        seconds.append(time.process_time() - started)
        found.append(scores(model, series))
    case, shown = f"{name}/multivariate", _versioned(system)
    yield from score_rows(case, shown, found)
    yield Row(f"{case}/time", shown, "cpu_s", fmean(seconds), "s", pstdev(seconds), len(seeds))


def train(
    build: Callable[[int], nn.Module], series: Series, budget: Budget, seed: int
) -> tuple[nn.Module, float]:
    """The checkpoint of least validation error, and that error, the mean over horizons."""
    torch.manual_seed(seed)
    longest = max(series.horizons)
    model = build(longest)
    values = series.values[0, : series.split.test.stop]
    data = ForecastWindows(values, series.split.train, LOOK_BACK, longest, apart=True)
    rows = series.split.valid
    stride = max(1, (rows.stop - rows.start) // JUDGED)
    valid = evaluation_windows(values, rows, LOOK_BACK, series.horizons, stride=stride)
    optimiser = torch.optim.Adam(model.parameters(), budget.rate)
    rng = np.random.default_rng(seed)
    best, kept = np.inf, copy.deepcopy(model.state_dict())
    for step in tqdm(range(1, budget.steps + 1), desc="train", delay=2, leave=False):
        batch = data.__getitems__(rng.integers(len(data), size=budget.batch))
        loss = forecast_loss(model.train()(batch.past), batch.future, series.horizons)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % CHECK == 0:
            error = validation_error(model, valid, series.horizons)
            if error < best:
                best, kept = error, copy.deepcopy(model.state_dict())
    model.load_state_dict(kept)
    return model.eval(), best


def scores(model: nn.Module, series: Series) -> forecasts.Scores:
    """Errors at every horizon from all origins of the test rows."""
    values = series.values[0, : series.split.test.stop]
    data = evaluation_windows(values, series.split.test, LOOK_BACK, series.horizons)
    ahead = predictions(model, data)
    return forecasts.score({h: as_forecast(ahead, data, h) for h in series.horizons}, series)


def score_rows(case: str, system: str, found: list[forecasts.Scores]) -> Iterator[Row]:
    """Means over seeds, with their spread if there are several, by horizon and on average."""
    count = len(found) if len(found) > 1 else None

    def row(place: str, metric: str, values: list[float]) -> Row:
        spread = pstdev(values) if count else None
        return Row(f"{case}/{place}", system, metric, fmean(values), std=spread, seeds=count)

    for metric in ("mse", "mae"):
        for horizon in found[0]["horizons"]:
            yield row(horizon, metric, [s["horizons"][horizon][metric] for s in found])
        yield row("average", metric, [s["average"][metric] for s in found])


def step_rows(width: int = 64, depth: int = 2, repeats: int = 20) -> Iterator[Row]:
    """Seconds per training step on one core: forward, backward and AdamW of the bare networks.

    Ours and PatchTST at the same look-back, horizon, width, depth, heads, feed-forward width and
    batch; PatchTST with as many patches as ours (stride 16), and with its default stride of 8.
    CPU time of the process, which others hardly disturb; the least of ``repeats`` turns.
    """
    if find_spec("neuralforecast") is None:
        return
    from neuralforecast.losses.pytorch import MSE
    from neuralforecast.models import PatchTST

    threads, horizon, batch = torch.get_num_threads(), 96, 128
    torch.set_num_threads(1)
    torch.manual_seed(0)
    shape = {"encoder_layers": depth, "n_heads": 4, "hidden_size": width}
    shape |= {"linear_hidden_size": 2 * width, "dropout": 0.2, "fc_dropout": 0.2}
    options = {"h": horizon, "input_size": LOOK_BACK, "loss": MSE(), "max_steps": 1, **shape}
    config = ForecasterConfig(look_back=LOOK_BACK, dim=width, depth=depth, heads=4, patch=16)
    systems = {
        "tsrep": config.build(1, horizon),
        f"{_versioned('patchtst')}-stride16": Peer(PatchTST(**options, stride=16)),
        f"{_versioned('patchtst')}-stride8": Peer(PatchTST(**options, stride=8)),
    }
    past, future = torch.randn(batch, LOOK_BACK, 1), torch.randn(batch, horizon, 1)
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    steps = {n: _stepper(model.train(), past, future) for n, model in systems.items()}
    for turn in range(repeats + 2):  # the first two fill caches
        for name, step in steps.items():
            started = time.process_time()
            step()
            if turn > 1:
                seconds[name].append(time.process_time() - started)
    torch.set_num_threads(threads)
    case = f"training-step/{LOOK_BACK}-{horizon}/width{width}-depth{depth}-batch{batch}"
    for name, found in seconds.items():
        yield Row(case, name, "cpu_seconds", min(found), "s")


def _stepper(model: nn.Module, past: Tensor, future: Tensor) -> Callable[[], None]:
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3)

    def step() -> None:
        loss = (model(past) - future).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def minirocket_rows(seeds: tuple[int, ...]) -> Iterator[Row]:
    """Test accuracy of sktime's MiniRocket and a ridge classifier, and their seconds."""
    if find_spec("sktime") is None:
        return
    for name in SETS:
        panel = load_classification(name)
        found, seconds = [], []
        for seed in seeds:
            started = time.process_time()
            found.append(_minirocket(panel, seed))
            seconds.append(time.process_time() - started)
        system = _versioned("minirocket", "sktime")
        yield Row(f"{name}/ridge", system, "accuracy", fmean(found), "", pstdev(found), len(seeds))
        # The least, since kernels are compiled in the first.
        yield Row(f"{name}/train", system, "cpu_s", min(seconds), "s", seeds=len(seeds))


def _minirocket(panel: Panel, seed: int) -> float:
    """Accuracy of 10,000 kernels and a ridge, the penalty cross-validated on the train part.

    Series of unequal length go through the variant that its authors wrote for them.
    """
    from sklearn.linear_model import RidgeClassifierCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sktime.transformations.rocket import (
        MiniRocketMultivariate,
        MiniRocketMultivariateVariable,
    )

    if np.isnan(panel.train).any() or np.isnan(panel.test).any():
        kernels = MiniRocketMultivariateVariable(pad_value_short_series=0.0, random_state=seed)
        train, test = (_series(x) for x in (panel.train, panel.test))
    else:
        kernels = MiniRocketMultivariate(random_state=seed)
        train, test = (x.transpose(0, 2, 1).astype(np.float64) for x in (panel.train, panel.test))
    vectors = kernels.fit_transform(train)
    ridge = make_pipeline(StandardScaler(), RidgeClassifierCV(np.logspace(-3, 3, 10)))
    ridge.fit(np.asarray(vectors), panel.train_labels)
    return float(ridge.score(np.asarray(kernels.transform(test)), panel.test_labels))


def _series(values: np.ndarray) -> list:
    """One frame per instance, without the missing steps after its end."""
    import pandas as pd

    return [pd.DataFrame(x[~np.isnan(x).all(axis=1)].astype(np.float64)) for x in values]


def _versioned(system: str, package: str = "neuralforecast") -> str:
    return f"{package}-{version(package)}-{system}"
