"""A toy task: the share of test series whose nearest train series has their label."""

from typing import Any

from tspcrep.common.classifiers import knn_probe
from tsrep.datasets.series import Panel
from tsrep.encoders.base import Encoder
from tsrep.encoders.encoding import encode
from tsrep.encoders.files import untrained
from tsrep.evaluation.tables import Task


def _evaluate(encoder: Encoder, panel: Panel) -> dict[str, Any]:
    found = {}
    for name, network in (("trained", encoder), ("untrained", untrained(encoder))):
        train, test = (encode(network, x, pool=True, apart=True) for x in (panel.train, panel.test))
        found[name] = knn_probe(train, panel.train_labels).accuracy(test, panel.test_labels)
    return {"task": "retrieval", "data": panel.name, "accuracy": found}


RETRIEVAL = Task(
    name="retrieval",
    measure="accuracy",
    heading="Accuracy",
    numbers="Share of test series whose nearest train series has their label",
    best=max,
    reads=Panel,
    evaluate=_evaluate,
    columns=lambda result, mode=None: {"nearest": result["accuracy"]},
    spreads=lambda result: {},
)
