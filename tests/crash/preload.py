"""What the process that starts the runs has imported before. No bars of progress are drawn."""

import os

os.environ["TQDM_DISABLE"] = "1"

from tests.crash import killing
from tspcrep.tools import (
    finetune_segmentation,
    pretrain_autotcl,
    pretrain_fac,
    train_forecaster,
)

__all__ = [
    "finetune_segmentation",
    "killing",
    "pretrain_autotcl",
    "pretrain_fac",
    "train_forecaster",
]
