"""Random programs of calls on pcrep.sparse, with arguments of which some are wrong.

    python -m tests.pcrep.sparse.programs FIRST COUNT

runs the programs of seeds FIRST, FIRST + 1, ... on the numba and on the torch engine. Each call
must work or raise a ValueError or TypeError of one line, and both engines must agree on which, and
on the numbers. What does not is printed; the exit status is then 1.
"""

import faulthandler
import random
import sys
import warnings

import torch
from torch import Tensor

from pcrep import sparse
from pcrep.sparse import SparseTensor

SIZES = [1, 1, 2, 2, 3, 3, (1, 2, 3), (3, 1, 1), (2, 2, 1)]
BAD_SIZES = [0, -1, 2.5, True, None, "2", (1, 2), (3, 0, 1), (), 10**7, 2**70, float("nan")]


class Program:
    """The calls of one seed on one engine; the draws do not depend on what the calls give."""

    def __init__(self, seed: int, engine: str):
        self.draw = random.Random(seed)
        self.engine = engine
        self.generator = torch.Generator().manual_seed(seed)
        self.tensors: list[SparseTensor] = []
        self.log: list[tuple[str, Tensor | None]] = []

    def run(self) -> list[tuple[str, Tensor | None]]:
        """What each call gave: its name with the kind of result or error, and its numbers."""
        calls = [self.make] * 4 + [self.layer] * 6 + [self.operate] * 4
        calls += [self.change, self.insert, self.field, self.normalise, self.read]
        for call in [self.make, *self.draw.choices(calls, k=6)]:
            state = self.draw.getstate()
            name = call.__name__
            try:
                result = call()
            except (ValueError, TypeError) as error:
                text = str(error)
                if "\n" in text or not text:
                    raise AssertionError(f"{name}: not one line: {text!r}") from error
                self.log.append((f"{name}: {type(error).__name__}", None))
            else:
                self.keep(name, result)
            # As many draws, whatever the call came to.
            self.draw.setstate(state)
            self.draw.random()
        return self.log

    def keep(self, name: str, result: object) -> None:
        if isinstance(result, SparseTensor):
            assert len(result.features) == len(result.coordinates), f"{name}: rows"
            self.tensors.append(result)
            result = result.features
        shape = tuple(result.shape) if isinstance(result, Tensor) else None
        numbers = result.detach().double() if isinstance(result, Tensor) else None
        self.log.append((f"{name}: {shape}", numbers))

    # Arguments, mostly right

    def one_of(self, good: list, bad: list, wrong: float = 0.08):
        return self.draw.choice(bad if self.draw.random() < wrong else good)

    def size(self):
        return self.one_of(SIZES, BAD_SIZES)

    def tensor(self):
        if not self.tensors or self.draw.random() < 0.03:
            return self.draw.choice([None, 3, torch.ones(4, 2), "x"])
        return self.draw.choice(self.tensors[-4:])

    def numbers(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator)

    def coordinates(self, axes: int = 3) -> Tensor:
        count = self.draw.choice([0, 1, 5, 30, 60])
        extent = self.draw.choice([1, 3, 8])
        xyz = torch.randint(-extent, extent, (count, axes), generator=self.generator)
        batch = torch.randint(0, 3, (count, 1), generator=self.generator).sort(0).values
        rows = torch.cat([batch, xyz], 1)
        if self.draw.random() < 0.85 and count:
            rows = torch.unique(rows, dim=0)
        rows = rows.int()
        kind = self.draw.choice(["plain"] * 14 + [
            "far", "edge", "int64", "float", "unsorted", "negative", "wide", "flat", "strided",
            "many", "list", "none",
        ])  # fmt: skip
        if kind == "far" and count:
            rows[-1, 1:] = self.draw.choice([2**17, -(2**17) - 1, 2**31 - 1, -(2**31)])
        elif kind == "edge" and count:
            rows[-1, 1:] = self.draw.choice([2**17 - 1, -(2**17)])
        elif kind == "unsorted" and count:
            rows[0, 0] = 2
        elif kind == "negative" and count:
            rows[0, 0] = -1
        elif kind == "many" and count:
            rows[-1, 0] = self.draw.choice([511, 512, 2**30])
        elif kind == "strided":
            rows = rows.repeat(1, 2)[:, : axes + 1]
        wrong = {
            "int64": rows.long(), "float": rows.float(), "wide": torch.cat([rows, rows], 1),
            "flat": rows.flatten(), "list": rows.tolist(), "none": None,
        }  # fmt: skip
        return wrong.get(kind, rows)

    def features(self, rows: int, channels: int | None = None) -> Tensor:
        channels = channels or self.draw.choice([1, 2, 3])
        x = self.numbers(rows, channels)
        kind = self.draw.choice(["plain"] * 14 + [
            "short", "long", "flat", "int", "half", "bfloat", "double", "nan", "inf", "none",
            "channelless", "strided", "list",
        ])  # fmt: skip
        if kind in ("nan", "inf") and rows:
            x[rows // 2, 0] = float(kind)
        of = {
            "short": x[:-1], "long": torch.cat([x, x[:1]]), "flat": x.flatten(), "int": x.int(),
            "half": x.half(), "bfloat": x.bfloat16(), "double": x.double(), "none": None,
            "channelless": x[:, :0], "strided": x.T.contiguous().T, "list": x.tolist(),
        }  # fmt: skip
        return of.get(kind, x)

    # Calls

    def make(self):
        axes = self.draw.choice([3] * 8 + [2, 4, 1])
        rows = self.coordinates(axes)
        count = len(rows) if isinstance(rows, Tensor) else 5
        return SparseTensor(
            rows,
            self.features(count),
            stride=self.one_of([1], [2, *BAD_SIZES], 0.1),
            duplicates=self.draw.choice(["error", "average", "average", "sum", "first", "last"]),
            engine=self.engine,
            batch_size=self.one_of([None], [0, 1, 3, 7, 512, 513, -1, 2.0, "3", True], 0.3),
        )

    def layer(self):
        x = self.tensor()
        channels = self.one_of([1, 2, 3], [0, -1, 2.5, None, 4])
        if isinstance(x, SparseTensor) and self.draw.random() < 0.9:
            channels = x.features.shape[1]
        axes = self.one_of([3], [2, 4, 1, None])
        if isinstance(x, SparseTensor) and self.draw.random() < 0.9:
            axes = x.maps.dimension
        kernel, stride, dilation = self.size(), self.size(), self.one_of([1, 1, 2], [10**6, 0, 1.5])
        onto = self.tensor() if self.draw.random() < 0.15 else None
        kind = self.draw.choice(["conv", "conv", "up", "depthwise", "pool", "unpool", "global"])
        torch.manual_seed(self.draw.randrange(2**31))
        flag = self.draw.random() < 0.3
        if kind == "conv":
            sites = self.one_of(["cells", "cells", "reached"], ["all", None])
            net = sparse.Conv(channels, 2, kernel, stride, dilation, flag, axes, sites=sites)
        elif kind == "up":
            net = sparse.ConvTranspose(channels, 2, kernel, stride, dilation, dimension=axes,
                                       generate=flag)  # fmt: skip
        elif kind == "depthwise":
            net = sparse.DepthwiseConv(channels, kernel, stride, dilation, flag, axes)
        elif kind == "pool":
            reduce = self.one_of(["sum", "average", "max"], ["min", None])
            net = sparse.Pool(kernel, stride if flag else None, reduce, dilation, axes)
        elif kind == "unpool":
            net = sparse.Unpool(stride, axes)
        else:
            return sparse.GlobalPool(self.one_of(["sum", "average", "max"], ["min"]))(x)
        y = net(x, onto) if onto is not None else net(x)
        if len(y) and y.features.requires_grad:
            y.features.float().square().sum().backward(retain_graph=True)
        return y

    def operate(self):
        x, y = self.tensor(), self.tensor()
        if not isinstance(x, SparseTensor):
            return sparse.cat(x, y)
        rows = len(x)
        keep = self.one_of([torch.rand(rows, generator=self.generator) < 0.6],
                           [None, torch.ones(rows), torch.ones(rows + 1).bool()])  # fmt: skip
        points = self.numbers(7, x.maps.dimension + 1) * 4
        points[:, 0] = points[:, 0].abs().floor()
        points = self.one_of([points], [points[:, 1:], points.int(), points * torch.nan,
                                        points * 1e30, None, points[:0]], 0.3)  # fmt: skip
        values = self.one_of([self.numbers(x.batch_size, 2)],
                             [None, self.numbers(9, 2), self.numbers(x.batch_size)])  # fmt: skip
        calls = {
            "add": lambda: x + y,
            "subtract": lambda: x - y,
            "multiply": lambda: x * y,
            "number": lambda: 2 * x - 1,
            "row": lambda: x * self.numbers(self.draw.choice([1, 2, 3])),
            "cat": lambda: sparse.cat(x, y),
            "union": lambda: sparse.union(x, y, x),
            "prune": lambda: sparse.prune(x, keep),
            "broadcast": lambda: sparse.broadcast(x, values),
            "interpolate": lambda: sparse.interpolate(x, points),
            "to": lambda: x.to(self.draw.choice([torch.float64, torch.bfloat16, torch.float32])),
        }
        return calls[self.draw.choice(sorted(calls))]()

    def change(self):
        """A function of the features that may give anything."""
        x = self.tensor()
        rows = len(x) if isinstance(x, SparseTensor) else 3
        result = self.one_of(
            [self.numbers(rows, 2)],
            [self.numbers(rows + 1, 2), self.numbers(max(rows - 1, 0), 2), None, 3.0,
             self.numbers(rows), self.numbers(rows, 2, 2), torch.ones(rows, 2).int(),
             self.numbers(rows, 2).half(), self.numbers(rows, 0)],
            0.7,
        )  # fmt: skip
        if not isinstance(x, SparseTensor):
            return sparse.prune(x, None) if x is None else SparseTensor(x, x, engine=self.engine)
        if self.draw.random() < 0.3:
            return SparseTensor.on(x.maps, self.one_of([x.stride], [4, *BAD_SIZES], 0.5), result)
        return x.map(lambda _: result)

    def insert(self):
        x = self.tensor()
        rows = self.coordinates()
        if not isinstance(x, SparseTensor):
            raise ValueError("nothing to insert into")
        stride = self.one_of([4, 8], BAD_SIZES, 0.2)
        if isinstance(rows, Tensor) and rows.dtype == torch.int32 and self.draw.random() < 0.8:
            rows[..., 1:] *= 8
        x.maps.insert(rows, stride)
        return SparseTensor.on(x.maps, stride, self.features(len(rows)))

    def field(self):
        rows = self.coordinates()
        if isinstance(rows, Tensor):
            rows = rows * self.draw.choice([1.0, 0.3, 1.0, 1e30])
        field = sparse.Field(rows, self.features(len(rows) if isinstance(rows, Tensor) else 3))
        x = field.sparse(self.draw.choice(["average", "sum", "first"]), self.engine)
        self.keep("sparse", x)
        return field.slice(self.draw.choice([x, self.tensor()]))

    def normalise(self):
        x = self.tensor()
        channels = x.features.shape[1] if isinstance(x, SparseTensor) else 2
        kind = self.draw.choice([sparse.BatchNorm, sparse.InstanceNorm, sparse.LayerNorm])
        layer = kind(self.one_of([channels], [channels + 1]))
        return (layer if isinstance(x, SparseTensor) else sparse.GlobalPool())(x)

    def read(self):
        x = self.tensor()
        if not isinstance(x, SparseTensor):
            return sparse.Unpool(2)(x)
        low, shape = x.box()
        low = self.one_of([None, low], [(0,), "low", (0.5,) * 3, tuple(a + 1 for a in low)], 0.2)
        shape = self.one_of([(3,) * x.maps.dimension], [0, -1, (2,), 2.5, 10**9, "s"], 0.3)
        if self.draw.random() < 0.3:
            return x.bird_eye_view(low, shape)
        return x.dense(low, shape)


def differences(seed: int) -> list[str]:
    """What is wrong with the program of a seed."""
    logs = []
    for engine in ("numba", "torch"):
        try:
            logs.append(Program(seed, engine).run())
        except Exception as error:
            last = error.__traceback__
            while last.tb_next is not None:
                last = last.tb_next
            where = f"{last.tb_frame.f_code.co_filename}:{last.tb_lineno}"
            return [f"{engine}: {type(error).__name__}: {error} at {where}"]
    found = []
    for (a, x), (b, y) in zip(*logs, strict=True):
        if a != b:
            return [f"numba gave {a}, torch {b}"]
        if x is not None and not torch.allclose(x, y, rtol=0.05, atol=1e-2, equal_nan=True):
            return [f"{a}: engines differ by {(x - y).abs().max().item():.3g}"]
    return found


def main(first: int, count: int) -> int:
    faulthandler.enable()
    torch.set_num_threads(1)
    warnings.simplefilter("error")
    wrong = 0
    for seed in range(first, first + count):
        for line in differences(seed):
            print(f"program {seed}: {line}", flush=True)
            wrong += 1
    print(f"{count} programs, {wrong} wrong")
    return int(wrong > 0)


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1]), int(sys.argv[2])))
