"""The encoders of points that the package brings along: the file, its content, that it works."""

from functools import partial

import numpy as np
import pytest
import torch

import pcrep
from pcrep import encode, list_encoders, load_encoder
from pcrep.cloud import keep
from pcrep.encoders.encoding import untrained
from pcrep.encoders.inputs import completed
from pcrep.encoders.unet import SHIPPED
from pcrep.evaluation.scores import probe
from pcrep.procedural import Endless, procedural
from tests.shipped import assert_is_small_and_has_a_card, assert_is_the_one_measured
from tspcrep.common.errors import UserError

HASHES = {
    "points-aerial": "c8269cc8d630f9780461093becf917c8a32a5255b886afcf963cff260034c176",
    "points-indoor": "19b8320de2f3c8c9c9dacc39d75485917831e5e0d5acaf087273a8b1656eaab9",
}


def test_the_list():
    assert list_encoders() == tuple(HASHES) == ("points-aerial", "points-indoor")
    assert {"list_encoders", "load_encoder"} <= set(pcrep.__all__)


@pytest.mark.parametrize("name", HASHES)
def test_the_file_is_the_one_that_was_measured(name):
    assert_is_the_one_measured(SHIPPED, name, HASHES[name], 4_000_000)


@pytest.mark.parametrize("name", HASHES)
def test_it_is_small_in_half_precision_and_has_a_card(name):
    assert_is_small_and_has_a_card(SHIPPED, name, HASHES[name], 2_000_000)


@pytest.mark.parametrize("name", HASHES)
def test_it_encodes_a_cloud_with_and_without_colour(name):
    encoder = load_encoder(name)
    assert not encoder.training and next(encoder.parameters()).dtype == torch.float32
    room = procedural(1, seed=3)[0]
    bare = type(room)(room.coords)
    for cloud in (room, bare):
        features, point_to_voxel = encode(encoder, cloud, encoder.voxel)
        assert features.shape[1] == 224 and len(point_to_voxel) == len(cloud)
        assert np.isfinite(features).all()


def made(kind, count, seed, inputs):
    """Scenes of another seed than any that the encoders or the tables have seen."""
    if kind == "rooms":
        return procedural(count, seed=seed)
    return keep(Endless("aerial", count, seed).scenes().map(partial(completed, names=inputs)))


@pytest.mark.parametrize("name, kind", [("points-indoor", "rooms"), ("points-aerial", "tiles")])
def test_training_shows_in_a_probe_of_few_points(name, kind):
    trained = load_encoder(name)
    learn, test = (made(kind, *of, trained.inputs) for of in ((2, 11), (3, 12)))
    found = probe(trained, learn, test)["miou"]
    assert found > probe(untrained(trained, 0), learn, test)["miou"] + 0.1


def test_an_unknown_name_gives_the_list():
    with pytest.raises(
        UserError, match=r"points-tiny: no such encoder; .* one of points-aerial, points-indoor"
    ):
        load_encoder("points-tiny")
