"""Loss and gradient of a segmenter on two processes are those of one with all clouds."""

import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from pcrep.cloud import Batch
from pcrep.encoders.encoding import width
from pcrep.evaluation.heads import Head
from pcrep.evaluation.segmentation import SegmentationConfig, Segmenter
from tests.common.processes import spawn
from tests.pcrep.made_scenes import CLASSES, made_scene
from tests.pcrep.networks import tiny
from tspcrep.common.distributed import total
from tspcrep.common.seeding import seed_all

PARTS = [slice(0, 2), slice(2, 3)]


def outcome(part, world):
    """Loss, gradients and batch statistics, from scratch and from a probe.

    The last cloud has few labels, so the mean over labels is not the mean over processes.
    """
    clouds = [made_scene(seed) for seed in range(3)]
    few = np.where(np.arange(len(clouds[2])) % 9 == 0, clouds[2].label, -1)
    clouds[2] = replace(clouds[2], label=few)
    found = {}
    for name in ("scratch", "pretrained"):
        config = SegmentationConfig(voxel=0.05, voxels=100)
        count = len(CLASSES)
        weight, random = np.linspace(1, 2, count), np.random.default_rng(1)
        network = tiny(7)
        head = Head(random.normal(size=(count, width(network, "both"))), np.zeros(count), 1, None)
        start = head if name == "pretrained" else None
        segmenter = Segmenter(network, count, config, start, weight).train()
        seed_all(5, 0)
        loss = segmenter.loss(Batch(clouds[part]), "segment")["loss"]
        loss.backward()
        found[f"{name} loss"] = total(loss.detach()) / world
        for key, parameter in segmenter.named_parameters():
            found[f"{name} {key}"] = total(parameter.grad) / world
        found |= {f"{name} {key}": value.double() for key, value in segmenter.named_buffers()}
    return found


def _check(rank, world):
    expected = torch.load(os.environ["TSPCREP_ALONE"])
    found = outcome(PARTS[rank], world)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert (value - expected[name]).norm() <= 1e-5 * expected[name].norm() + 1e-7, name


@pytest.mark.distributed
def test_two_processes_are_one(tmp_path, monkeypatch):
    monkeypatch.setenv("TSPCREP_ALONE", str(tmp_path / "alone.pt"))
    alone = outcome(slice(0, 3), 1)
    assert alone["scratch head.weight"].norm() > 1e-3
    torch.save(alone, tmp_path / "alone.pt")
    spawn(_check, 2, tmp_path)
