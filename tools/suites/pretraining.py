"""Which objective pays on a synthetic corpus, and what the shipped encoder reached and costs.

Each objective trains the same encoder on the same corpus. Its frozen vectors are scored by the
leave-one-out accuracy of a ridge on the train half of each set; no test half is read, so recipes
can be chosen by this table. ``crops-unmasked`` shows all patches to both views.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, median, pstdev

import numpy as np
from suites.table import Row

from tspcrep.common.errors import UserError
from tspcrep.common.training import Training, fit
from tspcrep.tools import pretrain_series
from tsrep.contrast.corpus import CorpusConfig
from tsrep.encoders import Encoder
from tsrep.encoders.encoding import encode
from tsrep.encoders.files import list_encoders, load_encoder, untrained

STEPS, BATCH = 60, 64
SYSTEMS = ("untrained", "crops", "crops-unmasked", "autotcl", "distillation", "masked")
_MOST_ROWS = 250  # of a train half
_PENALTIES = np.logspace(-1, 5, 13)


def rows(seeds: tuple[int, ...]) -> Iterator[Row]:
    """Mean accuracy over the sets and seconds of training, for each objective."""
    sets, case = train_halves(), f"ucr-train-halves/{STEPS}x{BATCH}"
    yield from shipped_rows(sets)
    for system in SYSTEMS:
        runs = [measure(system, seed, sets) for seed in seeds]
        for name, unit in (("accuracy", ""), ("seconds", "s")):
            if (system, name) == ("untrained", "seconds"):
                continue
            found = [run[name] for run in runs]
            spread = pstdev(found) if len(found) > 1 else None
            yield Row(case, system, name, fmean(found), unit, spread, len(seeds))


def shipped_rows(sets: dict[str, tuple[np.ndarray, np.ndarray]]) -> Iterator[Row]:
    """Accuracy of the shipped encoders beside the same untrained, and milliseconds a series."""
    for name in list_encoders():
        encoder = load_encoder(name)
        yield Row("ucr-train-halves/shipped", name, "accuracy", accuracy(encoder, sets))
        found = [accuracy(untrained(encoder, seed), sets) for seed in range(3)]
        system = f"{name}-untrained"
        yield Row(
            "ucr-train-halves/shipped", system, "accuracy", fmean(found), "", pstdev(found), 3
        )
        for count in (1, 64):
            values = np.random.default_rng(0).standard_normal((count, 512, 1))
            times = []
            for _ in range(10):
                started = time.process_time()
                encode(encoder, values, pool=True)
                times.append(1000 * (time.process_time() - started) / count)
            yield Row(f"encode/512-steps/batch-{count}", name, "processor", median(times), "ms")


def measure(system: str, seed: int, sets: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict:
    """Train with one objective and score: mean ``accuracy``, processor ``seconds`` of training."""
    method = "crops" if system in ("untrained", "crops-unmasked") else system
    config = pretrain_series.Config(
        output=Path("runs"),
        method=method,
        size=STEPS * BATCH,
        learning=CorpusConfig(masked=0.0 if system == "crops-unmasked" else 0.5),
    )
    objective, data = (
        pretrain_series.method(config, seed),
        pretrain_series.batches(config, {}, seed),
    )
    training = Training(epochs=1, batch_size=BATCH, warmup=10, drop_last=True, device="cpu")
    started = time.process_time()
    if system != "untrained":
        fit(objective, data, training, seed, None)
    seconds = time.process_time() - started
    encoder = pretrain_series.trained(objective)
    return {"accuracy": accuracy(encoder, sets), "seconds": seconds}


def train_halves() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Series (N, T, 1) and labels (N,) of the train half of each set, at most 250 of them."""
    folder = Path(os.environ.get("TSPCREP_DATA", "")) / "series" / "ucr"
    found = {}
    for file in sorted(folder.glob("*.npz")):
        with np.load(file) as arrays:
            values, labels = arrays["train"], arrays["train_labels"]
        chosen = np.random.default_rng(0).permutation(len(values))[:_MOST_ROWS]
        found[file.stem] = values.reshape(*values.shape[:2], -1)[chosen], labels[chosen]
    if not found:
        raise UserError(f"{folder}: no UCR set, expected NAME.npz files: set $TSPCREP_DATA")
    return found


def accuracy(encoder: Encoder, sets: dict[str, tuple[np.ndarray, np.ndarray]]) -> float:
    """Mean over sets of the leave-one-out accuracy of a ridge on the encoder's vectors."""
    scores = []
    for values, labels in sets.values():
        vectors = encode(encoder, values, pool=True, apart=True).astype(np.float64)
        scores.append(leave_one_out(vectors, labels))
    return fmean(scores)


def leave_one_out(x: np.ndarray, labels: np.ndarray) -> float:
    """Accuracy of a ridge on ``x (N, D)`` that leaves out each row in turn, one target a class.

    Columns are standardised on all rows; the penalty has the least squared error of rows left out.
    With ``B`` the inverse of the penalised kernel matrix, the intercept projected out, the error of
    a row that is left out is ``(B y)_i / B_ii`` (Cawley & Talbot 2004, eq. 4).
    """
    classes, inverse = np.unique(labels, return_inverse=True)
    targets = np.where(np.eye(len(classes), dtype=bool)[inverse], 1.0, -1.0)
    deviation = x.std(0)
    x = (x - x.mean(0)) / np.where(deviation > 1e-8, deviation, 1.0)
    values, vectors = np.linalg.eigh(x @ x.T)
    best, found = np.inf, 0.0
    for penalty in _PENALTIES:
        inverted = (vectors / (values.clip(0) + penalty)) @ vectors.T
        ones = inverted.sum(1)
        inverted -= np.outer(ones, ones) / ones.sum()
        errors = inverted @ targets / np.diag(inverted)[:, None]
        if np.square(errors).mean() < best:
            best = np.square(errors).mean()
            found = float((np.argmax(targets - errors, 1) == inverse).mean())
    return found
