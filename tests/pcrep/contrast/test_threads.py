"""Trainings of 50 steps on 1, 2 and 4 threads end with the same bits."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TRAIN = """
import hashlib
import sys
import torch
from pcrep.cloud import Scenes
from pcrep.contrast import OBJECTIVES
from pcrep.contrast.objective import PretrainingConfig, SceneBatches
from pcrep.contrast.views import ViewConfig
from pcrep.encoders.unet import SparseUNet, UNetConfig
from pcrep.evaluation.segmentation import LabelledScenes, SegmentationConfig, Segmenter
from tests.pcrep.segmented import segmented
from tspcrep.common.training import Training, fit

threads, kind = int(sys.argv[1]), sys.argv[2]
torch.set_num_threads(threads)
scenes = Scenes("made", ("a", "b", "c", "d"), lambda i: segmented(i, points=1500), ("f", "b", "s"))
torch.manual_seed(0)
small = UNetConfig(4, 16, 3, (16, 32), (32, 16), (1, 1), (1, 1))
encoder, training = SparseUNet(small), Training(epochs=100, max_steps=50, batch_size=4)
if kind == "segmentation":
    method = Segmenter(encoder, 3, SegmentationConfig(voxel=0.02, voxels=2000))
    data = LabelledScenes(scenes, 4)
else:
    config = PretrainingConfig(views=ViewConfig(voxel=0.02, points=4000))
    method, data = OBJECTIVES[kind](encoder, config), SceneBatches(scenes, 0.02)
fit(method, data, training, 0, None)
weights = b"".join(t.detach().numpy().tobytes() for t in method.state_dict().values())
print(hashlib.sha256(weights).hexdigest())
"""


@pytest.mark.parametrize("kind", ["fac", "pointcontrast", "segcontrast", "csc", "segmentation"])
def test_fifty_steps_on_any_number_of_threads(kind):
    found = []
    for threads in (1, 2, 4):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", TRAIN, str(threads), kind],
            cwd=Path(__file__).parents[3],
            env=os.environ | {"NUMBA_NUM_THREADS": "4", "OMP_WAIT_POLICY": "passive"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found.append(done.stdout.split()[-1])
    assert len(set(found)) == 1
