"""What holds of every encoder that the package brings along."""

import hashlib
from pathlib import Path

import torch

from tspcrep.common.weights import read_encoder


def assert_is_the_one_measured(folder: Path, name: str, digest: str, most: int) -> None:
    content = (folder / f"{name}.safetensors").read_bytes()
    assert hashlib.sha256(content).hexdigest() == digest
    assert len(content) <= most


def assert_is_small_and_has_a_card(folder: Path, name: str, digest: str, most: int) -> None:
    """In half precision, but for counts, of at most so many numbers."""
    _, _, tensors = read_encoder(folder / f"{name}.safetensors")
    assert all(t.dtype == torch.float16 for t in tensors.values() if t.is_floating_point())
    assert sum(t.numel() for t in tensors.values()) <= most
    card = (folder / f"{name}.md").read_text(encoding="utf-8")
    for word in ("Data", "Command", "Seconds", "Licence", "Numbers", digest):
        assert word in card
