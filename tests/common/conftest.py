"""Triton's kernels run on the CPU where there is no GPU; triton reads this when first imported."""

import os

import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")
