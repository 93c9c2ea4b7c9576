"""The encoders that the package brings along: which file, what is in it, and that it works."""

import numpy as np
import pytest
import torch

import tsrep
from tests.shipped import assert_is_small_and_has_a_card, assert_is_the_one_measured
from tspcrep.common.errors import UserError
from tspcrep.common.weights import read_encoder
from tsrep import encode, list_encoders, load_encoder
from tsrep.encoders.files import SHIPPED, untrained

HASHES = {"series-small": "3ba2c926907aaa86d8a819a40ac2f3d17c77b713100559402f2e1b32aa0e53b5"}


def test_the_list():
    assert list_encoders() == tuple(HASHES) and set(HASHES) == {"series-small"}
    assert {"list_encoders", "load_encoder"} <= set(tsrep.__all__)


@pytest.mark.parametrize("name", HASHES)
def test_the_file_is_the_one_that_was_measured(name):
    assert_is_the_one_measured(SHIPPED, name, HASHES[name], 2_000_000)


@pytest.mark.parametrize("name", HASHES)
def test_it_is_small_in_half_precision_and_has_a_card(name):
    assert_is_small_and_has_a_card(SHIPPED, name, HASHES[name], 1_000_000)
    _, _, tensors = read_encoder(SHIPPED / f"{name}.safetensors")
    assert all(t.is_floating_point() for t in tensors.values())


@pytest.mark.parametrize("name", HASHES)
def test_it_encodes_series_of_any_length_and_channels(name):
    encoder = load_encoder(name)
    assert not encoder.training and next(encoder.parameters()).dtype == torch.float32
    for steps, channels in ((7, 1), (512, 2), (3000, 1)):
        x = np.random.default_rng(0).standard_normal((2, steps, channels))
        found = encode(encoder, x, pool=True, apart=True)
        assert found.shape == (2, channels * 515) and np.isfinite(found).all()


def test_training_shows_where_classes_differ_in_the_shape_alone():
    """Three shapes at random phase, scale and noise, two labels each: nearest neighbours by the
    trained encoder are right more often than by the untrained one."""

    def draws(seed, count):
        rng = np.random.default_rng(seed)
        labels = np.arange(count) % 3
        t = np.arange(160) / 160 + rng.random((count, 1))
        waves = np.sin(2 * np.pi * 3 * t), np.mod(3 * t, 1) - 0.5, np.sign(np.sin(6 * np.pi * t))
        x = np.choose(labels[:, None], waves) * rng.uniform(0.5, 2, (count, 1))
        return (x + 0.35 * rng.standard_normal(x.shape))[..., None], labels

    def accuracy(encoder):
        found = []
        for seed in range(5):
            (known, y), (x, expected) = draws(seed, 6), draws(100 + seed, 150)
            a, b = (encode(encoder, v, pool=True)[:, :-3] for v in (known, x))
            a, b = (
                v / np.linalg.norm(v, axis=1, keepdims=True) for v in (a - b.mean(0), b - b.mean(0))
            )
            found.append(np.mean(y[(b @ a.T).argmax(1)] == expected))
        return np.mean(found)

    trained = load_encoder("series-small")
    assert accuracy(trained) > accuracy(untrained(trained)) + 0.05


def test_an_unknown_name_gives_the_list():
    with pytest.raises(UserError, match=r"series-tiny: no such encoder; .* one of series-small"):
        load_encoder("series-tiny")


def test_a_folder_of_a_shipped_name_goes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "series-small").mkdir()
    with pytest.raises(UserError, match="no such file"):
        load_encoder("series-small")
