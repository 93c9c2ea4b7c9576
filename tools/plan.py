"""What a pretraining would take: seconds and memory a step, here, on 8 and on 64 processes.

    python tools/plan.py --kind series --batch-size 256 --length 512 --channels 7 --steps 100000
    python tools/plan.py --kind points --voxels 50000 --batch-size 8 --network 34C --bandwidth 100
    python tools/plan.py --kind series --batch-size 256 --queue 65536

The network's arithmetic is known; how fast this machine does it is measured on a few small steps,
in about a minute. A larger step that was not measured for that shows how far off the plan is. The
other processes are as this machine, one a machine, and send over --bandwidth while nobody computes.
A step is two views, InfoNCE of their rows against those of all processes, and Adam; loading data is
not in it.
"""

from tspcrep.common.options import check_options

if __name__ == "__main__":
    check_options(__file__)

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from pcrep.cost import unet_cost
from pcrep.encoders.encoding import new_encoder
from pcrep.encoders.unet import SparseUNet
from pcrep.sparse import SparseTensor
from tspcrep.common.config import run_tool
from tspcrep.common.cost import Cost, Machine, Messages, contrast, fit, messages, update
from tspcrep.common.errors import UserError
from tspcrep.common.losses import nt_xent
from tsrep.cost import encoder_cost
from tsrep.encoders import DilatedConv

RANKS = (1, 8, 64)
LONGEST = 1e11
"""Operations of the largest step that is measured, a few seconds of a core."""
SECONDS = 10.0
"""All steps in turn are measured again for about so long, at least three times."""


@dataclass(frozen=True)
class Config:
    kind: Literal["series", "points"]
    """What the network reads."""
    batch_size: int = 32
    """Series, or scenes, of each process."""
    length: int = 512
    """Series: steps."""
    channels: int = 1
    """Input channels: of series, or 3 for colour and so on."""
    width: int = 64
    """Series: channels of the hidden layers."""
    dim: int = 320
    """Series: channels of the vectors. Points have those of their network."""
    depth: int = 7
    """Series: blocks before the last."""
    network: str = "small"
    """Points: small, or a Res16UNet such as 34C."""
    voxels: int = 20_000
    """Points: voxels of a scene."""
    rows: int | None = None
    """Rows of each view that the loss compares, of each process; default: one a series, 256 a
    scene."""
    queue: int = 0
    """Further rows that each is compared with."""
    steps: int = 10_000
    """Steps of the job."""
    bandwidth: float = 10.0
    """Gigabits a second that each process sends."""

    def __post_init__(self) -> None:
        names = ("batch_size", "length", "channels", "width", "dim", "voxels", "steps", "bandwidth")
        for name in names:
            if getattr(self, name) <= 0:
                raise UserError(
                    f"--{name.replace('_', '-')}: found {getattr(self, name)}, expected more than 0"
                )
        if self.queue < 0 or (self.rows is not None and self.rows < 2):
            raise UserError(
                f"--queue {self.queue}, --rows {self.rows}: expected 0 or more, and 2 or more"
            )

    @property
    def own_rows(self) -> int:
        return self.rows or self.batch_size * (256 if self.kind == "points" else 1)


def main(config: Config) -> None:
    encoder = network(config)
    check, *small = sizes(config)
    found, *seconds = measured([check, *small])
    machine = fit([step_cost(c, network(c)) for c in small], seconds)
    expected = machine.seconds(step_cost(check, network(check)))
    print(f"one step at {size(check)}: {found:.3f} s measured, {expected:.3f} s planned ", end="")
    print(f"({100 * (expected / found - 1):+.0f} %)\n")
    print(f"{config.kind}, {size(config)}, of each process:")
    for line in table(config, encoder, machine):
        print(line)


def network(config: Config) -> DilatedConv | SparseUNet:
    torch.manual_seed(0)
    if config.kind == "points":
        encoder = new_encoder(config.network)
        return type(encoder)(replace(encoder.config, in_channels=config.channels))
    return DilatedConv(config.channels, config.dim, config.width, config.depth)


def parts(config: Config, encoder: DilatedConv | SparseUNet, ranks: int = 1) -> dict[str, Cost]:
    """The costs of a step: of the encoder on both views, of the loss, of the update."""
    if isinstance(encoder, SparseUNet):
        one = unet_cost(encoder.config, config.batch_size * config.voxels)
    else:
        one = encoder_cost(encoder, config.batch_size, config.length)
    rows = 2 * config.own_rows
    return {
        "encoder": one.times(2),
        "loss": contrast(rows, ranks * rows, encoder.dim),
        "queue": contrast(rows, config.queue, encoder.dim) if config.queue else Cost(),
        "update": update(sum(p.numel() for p in encoder.parameters())),
    }


def step_cost(config: Config, encoder: DilatedConv | SparseUNet, ranks: int = 1) -> Cost:
    return sum(parts(config, encoder, ranks).values(), Cost())


def sizes(config: Config) -> list[Config]:
    """Small steps like that of the job: the first to check the plan, the others to measure."""
    config = replace(config, queue=0)
    while step_cost(config, network(config)).flops > LONGEST:
        if config.batch_size > 4:
            config = replace(config, batch_size=config.batch_size // 2, rows=None)
        elif config.kind == "series" and config.length > 32:
            config = replace(config, length=config.length // 2)
        elif config.kind == "points" and config.voxels > 1000:
            config = replace(config, voxels=config.voxels // 2)
        else:
            break
    shares = ((1, 1), (1, 0.5), (0.5, 1), (0.5, 0.5), (0.25, 0.5), (0.25, 0.25))
    return [smaller(config, of_batch, of_one) for of_batch, of_one in shares]


def smaller(config: Config, of_batch: float, of_one: float) -> Config:
    """A step of so large a share of the batch, and of each series or scene."""
    config = replace(config, batch_size=max(2, int(of_batch * config.batch_size)))
    if config.kind == "points":
        return replace(config, voxels=max(16, int(of_one * config.voxels)))
    return replace(config, length=max(16, int(of_one * config.length)))


def size(config: Config) -> str:
    if config.kind == "points":
        return f"{config.batch_size} scenes of {config.voxels} voxels"
    return f"{config.batch_size} series of {config.length} steps, {config.channels} channels"


def measured(configs: list[Config]) -> list[float]:
    """Seconds of a step of each size: the least of a few, since others disturb a measurement and
    none helps. All are measured in turn, so that a machine that slows down does so for all.
    """
    steps = [step(config) for config in configs]
    for run in steps:
        run()  # the first compiles
    times: list[list[float]] = [[] for _ in configs]
    begin = time.perf_counter()
    while len(times[0]) < 3 or time.perf_counter() - begin < SECONDS:
        for run, of_size in zip(steps, times, strict=True):
            start = time.perf_counter()
            run()
            of_size.append(time.perf_counter() - start)
    return [min(of_size) for of_size in times]


def step(config: Config) -> Callable[[], None]:
    """A step of training: two views, their loss, the update."""
    encoder = network(config)
    optimizer = torch.optim.Adam(encoder.parameters())
    if isinstance(encoder, SparseUNet):
        view = surfaces(config, encoder)
    else:
        view = series(config, encoder)

    def run() -> None:
        optimizer.zero_grad()
        nt_xent(view(), view()).backward()
        optimizer.step()

    return run


def series(config: Config, encoder: DilatedConv) -> Callable[[], torch.Tensor]:
    x = torch.randn(config.batch_size, config.length, config.channels)
    rows = torch.arange(config.own_rows) % config.batch_size
    return lambda: encoder.pooled(x)[rows]


def surfaces(config: Config, encoder: SparseUNet) -> Callable[[], torch.Tensor]:
    """Features of voxels on waves, one a scene."""
    edge = max(2, round(config.voxels**0.5))
    x, y = (axis.ravel() for axis in np.mgrid[:edge, :edge])
    z = np.round(5 * np.sin(x / 20) + 5 * np.cos(y / 15))
    scene = np.stack([x, y, z], 1)
    cells = [np.insert(scene, 0, i, axis=1) for i in range(config.batch_size)]
    coordinates = torch.from_numpy(np.concatenate(cells)).int()
    values = torch.rand(len(coordinates), config.channels)
    rows = torch.randint(len(coordinates), (config.own_rows,))
    return lambda: encoder(SparseTensor(coordinates, values)).features[rows]


def table(config: Config, encoder: DilatedConv | SparseUNet, machine: Machine) -> list[str]:
    """A line for each number of processes, and what bounds it."""
    parameters = sum(p.numel() for p in encoder.parameters())
    head = f"{'processes':>9}{'s a step':>10}{'memory, MB':>12}{'sent, MB':>10}{'job, h':>9}"
    lines = [f"{head}  most of the time"]
    for ranks in RANKS:
        costs = parts(config, encoder, ranks)
        sent = messages(parameters, 2 * config.own_rows, encoder.dim, ranks)
        seconds = seconds_of(costs, sent, machine, config.bandwidth)
        total = sum(seconds.values())
        held = sum(cost.held for cost in costs.values())
        most = max(seconds, key=lambda name: seconds[name])
        lines.append(
            f"{ranks:>9}{total:>10.3f}{held / 1e6:>12.3g}{sent.total / 1e6:>10.3g}"
            f"{total * config.steps / 3600:>9.2f}  {most}, {100 * seconds[most] / total:.0f} %"
        )
    return lines + bounds(config, encoder, machine)


def seconds_of(
    costs: dict[str, Cost], sent: Messages, machine: Machine, bandwidth: float
) -> dict[str, float]:
    """Seconds of each part of a step; those of every step are the encoder's."""
    rate = bandwidth * 1e9 / 8
    found = {name: machine.seconds(cost) - machine.step for name, cost in costs.items()}
    found["encoder"] += machine.step
    return found | {"all-reduce": sent.reduced / rate, "all-gather": sent.gathered / rate}


def bounds(config: Config, encoder: DilatedConv | SparseUNet, machine: Machine) -> list[str]:
    """From which size on the rows of the others take longer than the encoder."""
    spent = seconds_of(parts(config, encoder), Messages(0, 0), machine, config.bandwidth)["encoder"]
    rows = 2 * config.own_rows
    one = contrast(rows, 1, encoder.dim).flops - contrast(rows, 0, encoder.dim).flops
    queue = spent / (machine.flop * one) if machine.flop else float("inf")
    sent = messages(0, rows, encoder.dim, 2).gathered / (config.bandwidth * 1e9 / 8)
    return [
        "",
        f"a queue takes as long as the encoder from {queue:,.0f} rows on",
        f"the all-gather takes as long as the encoder from {1 + spent / sent:,.0f} processes on",
    ]


if __name__ == "__main__":
    run_tool(main, Config)
