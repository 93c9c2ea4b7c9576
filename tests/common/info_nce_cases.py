"""Every form of InfoNCE, and pairs of all kinds to try it on."""

import itertools

import torch

from tspcrep.common.ops import Form
from tspcrep.common.pairs import Pairs

FORMS = [
    Form(positives, denominator, hardest)
    for positives, denominator, hardest in itertools.product(
        ("mean", "sum", "none"), ("all", "negatives", "own"), (None, 2)
    )
    if denominator != "own" or positives == "mean"
]


def options(form):
    return dict(positives=form.positives, denominator=form.denominator, hardest=form.hardest)


def example(seed=0, batch=6, count=15):
    """Anchors among the candidates, groups of unequal size, ignored ids, weights."""
    generator = torch.Generator().manual_seed(seed)
    group = torch.arange(count) % 4
    ignore = torch.randint(-1, 3, (count,), generator=generator)
    value = torch.randn(count, generator=generator, dtype=torch.float64)
    row = torch.arange(count)
    fields = dict(row=row, group=group, ignore=ignore, value=value)
    return Pairs(**{name: (x[:batch], x) for name, x in fields.items()})
