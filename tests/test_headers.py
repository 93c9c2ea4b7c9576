"""Headers of saved models, field by field: a value that cannot be is one line, nothing else.

Weights are written anew with each header, so that their digest is right.
"""

import copy
import itertools
from pathlib import Path

import pytest
import torch

from pcrep.encoders.unet import SparseUNet, UNetConfig, save_encoder
from pcrep.encoders.unet import load_encoder as load_unet
from pcrep.evaluation.segmentation import (
    SegmentationConfig,
    Segmenter,
    load_segmenter,
    save_segmenter,
)
from tests.nested import parent_of, places
from tspcrep.common import weights
from tspcrep.common.errors import UserError
from tsrep import list_encoders, load_encoder
from tsrep.encoders.files import SHIPPED
from tsrep.forecasting.files import load_forecaster

OLD = Path(__file__).parent / "data/version-0.1/forecaster/forecaster.safetensors"
SMALL = UNetConfig(
    4, 4, encoder=(4, 4), decoder=(4, 4), encoder_blocks=(1, 1), decoder_blocks=(1, 1)
)
ODD = (None, True, -1, 0, 2**31, 2**63, -0.5, float("nan"), 1e300, "x", [], [[1], 2], {}, {"a": 1})


def unet(path):
    encoder = SparseUNet(SMALL)
    encoder.voxel = 0.05
    save_encoder(path, encoder)


def segmenter(path):
    save_segmenter(path, Segmenter(SparseUNet(SMALL), 3, SegmentationConfig()), "abc")


FILES = {
    "encoder": (SHIPPED / f"{list_encoders()[0]}.safetensors", load_encoder),
    "forecaster": (OLD, load_forecaster),
    "unet": (unet, load_unet),
    "segmenter": (segmenter, load_segmenter),
}


def changed(config, place, *value):
    """The configuration with another value at a place, or without any."""
    config = copy.deepcopy(config)
    inner = parent_of(config, place)
    if value:
        inner[place[-1]] = value[0]
    else:
        del inner[place[-1]]
    return config


@pytest.mark.parametrize("kind", FILES)
def test_each_field_of_a_header(kind, tmp_path):
    source, load = FILES[kind]
    if callable(source):
        source(path := tmp_path / "made.safetensors")
        source = path
    kind, config, tensors = weights.read_encoder(source)
    tensors = {name: tensor.float() for name, tensor in tensors.items()}
    odd, refused, wrong = tmp_path / "odd.safetensors", 0, []
    values = [(), *((value,) for value in ODD)]
    for place, value in itertools.product(list(places(config)), values):
        weights.save_tensors(odd, tensors, kind, changed(config, place, *value))
        try:
            load(odd)
        except UserError as error:
            refused += 1
            if str(odd) not in str(error) or "\n" in str(error):
                wrong.append((place, value, str(error)))
        except Exception as error:
            wrong.append((place, value, repr(error)))
    assert not wrong
    assert refused > len(ODD)


def test_a_segmenter_comes_back_as_it_was(tmp_path):
    segmenter(tmp_path / "made.safetensors")
    found, classes = load_segmenter(tmp_path / "made.safetensors")
    _, _, tensors = weights.read_encoder(tmp_path / "made.safetensors")
    assert classes == ("a", "b", "c")
    for name, tensor in found.state_dict().items():
        torch.testing.assert_close(tensor, tensors[name], rtol=0, atol=0)
