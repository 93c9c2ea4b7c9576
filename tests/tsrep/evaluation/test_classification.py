"""Classification beside its controls, choices that test instances cannot touch, its summary."""

import numpy as np
import pytest
import torch

from tests.tsrep.made_series import panel_of
from tsrep.datasets.series import Panel
from tsrep.encoders import DilatedConv
from tsrep.encoders.encoding import encode
from tsrep.encoders.files import untrained
from tsrep.evaluation import classification
from tsrep.evaluation.classification import CLASSIFICATION


def encoder_of(channels=1, seed=0):
    torch.manual_seed(seed)
    return DilatedConv(channels, 5, 4, 2).eval()


@pytest.mark.parametrize("encoder_channels", [1, 2])
@pytest.mark.parametrize("short", [False, True])
def test_classification_beside_its_controls(encoder_channels, short):
    panel = panel_of(short=short)
    encoder = encoder_of(encoder_channels)
    found = classification.classification(encoder, untrained(encoder), panel)
    assert found.keys() == {"accuracy", "untrained", "raw", "validation", "timing"}
    for name in ("accuracy", "untrained", "raw"):
        assert found[name].keys() == {"svm", "linear"}
    assert found["accuracy"]["linear"] >= 0.75 and 0.5 < found["validation"] <= 1
    vectors = encode(encoder, panel.test, pool=True, apart=True)
    assert vectors.shape == (20, 5 * 2 // encoder_channels)


def test_vectors_of_channels_apart_by_hand():
    panel = panel_of(short=True)
    encoder = encoder_of()
    found = encode(encoder, panel.test, pool=True, apart=True)
    for n, instance in enumerate(panel.test):
        known = instance[~np.isnan(instance).any(1)]
        with torch.inference_mode():
            z = [encoder(torch.from_numpy(known[None, :, [c]]))[0].amax(0) for c in (0, 1)]
        np.testing.assert_allclose(found[n], torch.cat(z).numpy(), atol=1e-5)


def test_classification_validation_does_not_see_test():
    panel = panel_of()
    other = Panel(**{**vars(panel), "test": -3 * panel.test, "test_labels": 1 - panel.test_labels})
    encoder = encoder_of(2)
    first, second = (
        classification.classification(encoder, untrained(encoder), p) for p in (panel, other)
    )
    assert first["validation"] == second["validation"]
    assert first["accuracy"] != second["accuracy"]


def test_classification_summary():
    panel = panel_of()
    results = [
        {
            **{name: {"svm": a, "linear": 1.0} for name in ("accuracy", "untrained", "raw")},
            "validation": a,
            "timing": {"encode_s": a},
        }
        for a in (0.6, 0.8)
    ]
    found = classification.summary(panel, (0, 1), results)
    assert found["accuracy"] == pytest.approx(
        {"svm": 0.7, "svm_std": 0.1, "linear": 1.0, "linear_std": 0.0}
    )
    lines = CLASSIFICATION.table(found).splitlines()
    assert lines[0].split() == ["accuracy", "svm", "linear"]
    assert lines[1].split()[:3] == ["autotcl", "0.7000*", "1.0000*"]
