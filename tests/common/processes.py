"""Checks that run on several processes, each with its own rows of a batch of 13."""

import os
import sys

import torch
from torch import distributed as dist
from torch import multiprocessing

SIZES = {1: [13], 2: [7, 6], 4: [4, 3, 3, 3]}  # the last batch of an epoch is uneven


def spawn(check, world, tmp_path):
    """Run ``check(rank, world)`` on ``world`` gloo processes; the first failure is raised here."""
    where = f"file://{tmp_path / 'rendezvous'}"
    multiprocessing.start_processes(
        _enter, (check, world, where), nprocs=world, start_method="spawn"
    )


def _enter(rank, check, world, where):
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    if sys.platform == "linux":
        os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=where, rank=rank, world_size=world)
    try:
        check(rank, world)
    finally:
        dist.destroy_process_group()


def mine(x, dim, rank, world):
    """This rank's rows."""
    start = sum(SIZES[world][:rank])
    return x.narrow(dim, start, SIZES[world][rank])
