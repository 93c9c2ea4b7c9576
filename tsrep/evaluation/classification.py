"""Classification accuracy of frozen, pooled vectors, beside untrained encoder and raw values."""

import time
from collections.abc import Sequence
from statistics import fmean, pstdev
from typing import Any

import numpy as np
from tqdm import tqdm

from tspcrep.common.classifiers import linear_probe, svm_probe
from tsrep.datasets.series import Panel
from tsrep.encoders.base import Encoder
from tsrep.encoders.encoding import encode
from tsrep.encoders.files import untrained
from tsrep.evaluation.tables import Columns, Readout, Task, mean_timing

PROBES = {"svm": svm_probe, "linear": linear_probe}
"""The RBF-SVM of the papers, and a logistic regression."""


def classification(trained: Encoder, untrained: Encoder, panel: Panel) -> dict[str, Any]:
    """Test accuracy per probe of an encoder, the same encoder untrained, and the raw values.

    Returns ``{"accuracy": {"svm", "linear"}, "untrained": ..., "raw": ..., "validation": ..,
    "timing": {"encode_s", "probe_s"}}``. ``validation`` is the linear probe's cross-validated
    accuracy on the train part (0 if a class is too small), by which to choose among seeds.
    """
    started = time.perf_counter()
    parts = (panel.train, panel.test)
    vectors = {
        "accuracy": [encode(trained, x, pool=True, apart=True) for x in parts],
        "untrained": [encode(untrained, x, pool=True, apart=True) for x in parts],
        "raw": [np.nan_to_num(x.reshape(len(x), -1)) for x in parts],
    }
    encoded = time.perf_counter()
    found: dict[str, Any] = {name: {} for name in vectors}
    jobs = [(name, probe) for name in vectors for probe in PROBES]
    for name, probe in tqdm(jobs, desc="probes", delay=2, leave=False):
        train, test = vectors[name]
        fitted = PROBES[probe](train, panel.train_labels)
        found[name][probe] = fitted.accuracy(test, panel.test_labels)
        if (name, probe) == ("accuracy", "linear"):
            found["validation"] = fitted.validation or 0.0
    timing = {"encode_s": encoded - started, "probe_s": time.perf_counter() - encoded}
    return {**found, "timing": timing}


def summary(panel: Panel, seeds: Sequence[int], results: Sequence[dict[str, Any]]) -> dict:
    """Contents of ``result.json``: mean accuracies and standard deviations over seeds."""

    def over_seeds(name: str) -> dict[str, float]:
        found = {probe: [result[name][probe] for result in results] for probe in PROBES}
        means = {probe: fmean(values) for probe, values in found.items()}
        return {**means, **{f"{probe}_std": pstdev(values) for probe, values in found.items()}}

    return {
        "task": "classification",
        "data": panel.name,
        "seeds": list(seeds),
        "accuracy": over_seeds("accuracy"),
        "controls": {"random_encoder": over_seeds("untrained"), "raw": over_seeds("raw")},
        "timing": mean_timing(results),
    }


def _systems(result: dict[str, Any]) -> dict[str, dict[str, float]]:
    return {"autotcl": result["accuracy"], **result["controls"]}


def _columns(result: dict[str, Any], mode: Readout | None = None) -> Columns:
    return {probe: {n: s[probe] for n, s in _systems(result).items()} for probe in PROBES}


def _evaluate(encoder: Encoder, panel: Panel) -> dict[str, Any]:
    return summary(panel, [0], [classification(encoder, untrained(encoder), panel)])


CLASSIFICATION = Task(
    name="classification",
    measure="accuracy",
    heading="Accuracy by probe",
    numbers="Test accuracy",
    best=max,
    reads=Panel,
    evaluate=_evaluate,
    columns=_columns,
    spreads=lambda result: {n: s.get("svm_std", 0.0) for n, s in _systems(result).items()},
)
