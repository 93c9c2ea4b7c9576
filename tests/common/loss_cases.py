"""Every loss with inputs, its equation in plain loops, and how its rows may be reordered."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch

from tspcrep.common import losses


@dataclass(frozen=True)
class Case:
    """A loss, its inputs ``{name: (tensor, axis of samples or None)}`` and the loops it equals."""

    name: str
    loss: Callable
    inputs: Callable[[int, torch.Generator], dict]
    loops: Callable
    temperature: bool = True  # takes one
    reorders: bool = True  # an argument that numbers rows would have to change with their order
    cosines: bool = True  # rows count at length 1, so that a row of zeros gets no gradient


def dot(x, y):
    return sum(a * b for a, b in zip(x, y, strict=True))


def unit(x):
    length = math.sqrt(dot(x, x))
    return [a / length for a in x]


def squared(x, y):
    return sum((a - b) ** 2 for a, b in zip(x, y, strict=True))


def mean(numbers):
    numbers = list(numbers)
    return sum(numbers) / len(numbers)


def lse(numbers):
    return math.log(sum(math.exp(x) for x in numbers))


def softmax(numbers):
    total = lse(numbers)
    return [math.exp(x - total) for x in numbers]


def gaussian(*shape, generator):
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def two(batch, g):
    return {name: (gaussian(batch, 6, generator=g), 0) for name in ("first", "second")}


def stacked(first, second):
    """Unit rows of both views, their samples, and cosines."""
    z = [unit(x) for x in first + second]
    batch = len(first)
    s = [[dot(x, y) for y in z] for x in z]
    return s, [(i + batch) % (2 * batch) for i in range(2 * batch)]


def nt_xent(first, second, temperature=0.5):
    s, mate = stacked(first, second)
    return mean(
        lse(x / temperature for j, x in enumerate(row) if j != i) - row[mate[i]] / temperature
        for i, row in enumerate(s)
    )


def info_nce(anchors, candidates, temperature=0.1):
    a, c = [unit(x) for x in anchors], [unit(x) for x in candidates]
    return mean(
        lse(dot(x, y) / temperature for y in c) - dot(x, c[i]) / temperature
        for i, x in enumerate(a)
    )


def moco(queries, keys, queue, own=None, held=None, temperature=0.07):
    q, k, n = ([unit(x) for x in rows] for rows in (queries, keys, queue))
    held = held or [-1] * len(n)
    own = own or range(len(q))
    return mean(
        lse(
            [dot(q[i], k[i]) / temperature]
            + [dot(q[i], x) / temperature for x, id in zip(n, held, strict=True) if id != own[i]]
        )
        - dot(q[i], k[i]) / temperature
        for i in range(len(q))
    )


def dcl(first, second, temperature=0.1, weight=None):
    s, mate = stacked(first, second)
    return mean(
        lse(x / temperature for j, x in enumerate(row) if j not in (i, mate[i]))
        - (weight[i] if weight else 1) * row[mate[i]] / temperature
        for i, row in enumerate(s)
    )


def dclw(first, second, temperature=0.1, sigma=0.5):
    s, mate = stacked(first, second)
    batch = len(first)
    share = softmax([s[i][mate[i]] / sigma for i in range(batch)])
    return dcl(first, second, temperature, [2 - batch * x for x in share + share])


def dhel(first, second, temperature=0.3):
    a, b = [unit(x) for x in first], [unit(x) for x in second]
    return mean(
        lse(dot(a[i], x) / temperature for j, x in enumerate(a) if j != i)
        + lse(dot(b[i], x) / temperature for j, x in enumerate(b) if j != i)
        - dot(a[i], b[i]) / temperature
        for i in range(len(a))
    )


def hard_info_nce(first, second, temperature=0.3, fraction=0.4):
    s, mate = stacked(first, second)
    losses_ = []
    for i, row in enumerate(s):
        negative = sorted((x for j, x in enumerate(row) if j not in (i, mate[i])), reverse=True)
        kept = negative[: math.ceil(fraction * len(negative))]
        attraction = row[mate[i]] / temperature
        losses_.append(lse([attraction] + [x / temperature for x in kept]) - attraction)
    return mean(losses_)


def views(batch, g):
    return {"views": (gaussian(3, batch, 6, generator=g), 1)}


def mv_info_nce(views, temperature=0.5):
    u = [[unit(x) for x in view] for view in views]
    count, batch = len(u), len(u[0])
    losses_ = []
    for i in range(batch):
        top = lse(
            dot(u[a][i], u[b][i]) / temperature
            for a in range(count)
            for b in range(count)
            if a != b
        )
        bottom = lse(
            dot(u[a][i], u[b][j]) / temperature
            for a in range(count)
            for b in range(count)
            for j in range(batch)
            if (a, i) != (b, j)
        )
        losses_.append(bottom - top)
    return mean(losses_)


def mv_info_nce_apart(views, temperature=0.5):
    u = [[unit(x) for x in view] for view in views]
    count, batch = len(u), len(u[0])
    return mean(
        lse(
            dot(u[a][i], u[b][j]) / temperature
            for b in range(count)
            for j in range(batch)
            if (a, i) != (b, j)
        )
        - lse(dot(u[a][i], u[b][i]) / temperature for b in range(count) if a != b)
        for a in range(count)
        for i in range(batch)
    )


def mv_dhel(views, temperature=0.2):
    u = [[unit(x) for x in view] for view in views]
    count, batch = len(u), len(u[0])
    return mean(
        sum(lse(dot(view[i], view[j]) / temperature for j in range(batch) if j != i) for view in u)
        - lse(
            dot(u[a][i], u[b][i]) / temperature for a in range(count) for b in range(a + 1, count)
        )
        for i in range(batch)
    )


def cacr(views, attraction=1.0, repulsion=0.9):
    u = [[unit(x) for x in view] for view in views]
    count, batch = len(u), len(u[0])
    pull, push = [], []
    for a in range(count):
        for i in range(batch):
            d = [squared(u[a][i], u[b][i]) for b in range(count) if b != a]
            pull.append(dot(softmax([attraction * x for x in d]), d))
            for b in range(count):
                if a != b:
                    d = [squared(u[a][i], u[b][j]) for j in range(batch) if j != i]
                    push.append(dot(softmax([-repulsion * x for x in d]), d))
    return mean(pull) - mean(push)


def sup_con(embeddings, labels, temperature=0.1):
    z = [unit(x) for x in embeddings]
    losses_ = []
    for i, x in enumerate(z):
        bottom = lse(dot(x, y) / temperature for j, y in enumerate(z) if j != i)
        positive = [j for j in range(len(z)) if j != i and labels[j] == labels[i]]
        losses_.append(mean(bottom - dot(x, z[p]) / temperature for p in positive))
    return mean(losses_)


def soft_info_nce(embeddings, memberships, temperature=0.1):
    z, m = [unit(x) for x in embeddings], memberships
    losses_ = []
    for i, x in enumerate(z):
        rest = [j for j in range(len(z)) if j != i]
        bottom = lse(dot(x, z[j]) / temperature for j in rest)
        grade = [dot(m[i], m[j]) for j in rest]
        terms = [
            f * (bottom - dot(x, z[j]) / temperature) for f, j in zip(grade, rest, strict=True)
        ]
        losses_.append(sum(terms) / sum(grade))
    return mean(losses_)


def supremix(embeddings, values, temperature=0.3, band=0.5):
    z = [unit(x) for x in embeddings]
    losses_ = []
    for i, x in enumerate(z):
        rest = [j for j in range(len(z)) if j != i]
        positive = [j for j in rest if abs(values[j] - values[i]) <= band]
        bottom = lse(
            dot(x, z[j]) / temperature
            + (0 if j in positive else math.log(1 + abs(values[i] - values[j])))
            for j in rest
        )
        losses_.append(mean(bottom - dot(x, z[p]) / temperature for p in positive))
    return mean(losses_)


def intent_contrast(first, second, intents, temperature=1.0):
    s, mate = stacked(first, second)
    both = intents + intents
    return mean(
        lse(
            x / temperature
            for j, x in enumerate(row)
            if j == mate[i] or (j != i and both[j] != both[i])
        )
        - row[mate[i]] / temperature
        for i, row in enumerate(s)
    )


def prototype_contrast(embeddings, assignments, prototypes, temperature=1.0):
    z, c = [unit(x) for x in embeddings], [unit(x) for x in prototypes]
    return mean(
        lse(dot(x, y) / temperature for y in c) - dot(x, c[k]) / temperature
        for x, k in zip(z, assignments, strict=True)
    )


def mixup_info_nce(mixed, candidates, weights, permutation, temperature=0.1):
    a, c = [unit(x) for x in mixed], [unit(x) for x in candidates]
    losses_ = []
    for i, x in enumerate(a):
        bottom = lse(dot(x, y) / temperature for y in c)
        terms = [bottom - dot(x, c[j]) / temperature for j in (i, permutation[i])]
        losses_.append(weights[i] * terms[0] + (1 - weights[i]) * terms[1])
    return mean(losses_)


def m3col(mixed1, mixed2, plain1, plain2, weights, permutation, temperature=0.1):
    first = mixup_info_nce(mixed1, plain2, weights, permutation, temperature)
    second = mixup_info_nce(mixed2, plain1, weights[::-1], permutation, temperature)
    return (first + second) / 2


def mixup_of_two(batch, g):
    drawn = mixup(batch, g)
    names = ("mixed1", "mixed2", "plain1", "plain2")
    rows = {name: (gaussian(batch, 6, generator=g), 0) for name in names}
    return {**rows, "weights": drawn["weights"], "permutation": drawn["permutation"]}


def mixup(batch, g):
    names = ("mixed", "candidates")
    inputs = {name: (gaussian(batch, 6, generator=g), 0) for name in names}
    weights, permutation = losses.draw_mixup(batch, generator=g)
    permutation[:2] = torch.arange(2)  # fixed points, and rows of two positives
    return {**inputs, "weights": (weights.double(), 0), "permutation": (permutation, 0)}


def sep_clr(common1, common2, salient1, salient2, target, temperature=0.5):
    n = len(target)

    def align(xs, ys):
        return mean(squared(x, y) for x, y in zip(xs, ys, strict=True)) / (2 * temperature)

    def kernel(x, y):
        return math.exp(-squared(x, y) / (2 * temperature))

    def spread(x):
        return math.log(mean(kernel(x[i], x[j]) for i in range(n) for j in range(n) if i != j))

    def joint(c, s):
        return mean(
            math.log(mean(kernel(c[i], c[j]) * kernel(s[i], s[j]) for j in range(n)))
            for i in range(n)
        )

    c = [[unit(x) for x in view] for view in (common1, common2)]
    views = (salient1, salient2)
    s = [[x if t else [0.0] * len(x) for x, t in zip(v, target, strict=True)] for v in views]
    kept = [[x for x, t in zip(v, target, strict=True) if t] for v in views]
    rest = [[x for x, t in zip(v, target, strict=True) if not t] for v in views]
    zero = [[0.0] * len(salient1[0])] * len(rest[0])
    return (
        align(*c)
        + 2 * mean(map(spread, c))
        + 1000 * (align(*kept) + 2 * mean(map(spread, s)))
        + 1000 * mean(align(x, zero) for x in rest)
        + 10 * mean(joint(x, y) for x, y in zip(c, s, strict=True))
    )


def separated(batch, g):
    inputs = {
        name: (gaussian(batch, 4, generator=g), 0)
        for name in ("common1", "common2", "salient1", "salient2")
    }
    return {**inputs, "target": (torch.arange(batch) % 2 == 0, 0)}


def gated_info_nce(anchors, candidates, gates, own, other, keys, temperature=0.1):
    total, number = 0.0, 0
    for i, x in enumerate(anchors):
        a = unit([g * y for g, y in zip(gates[i], x, strict=True)])
        logits = [
            dot(a, unit([g * y for g, y in zip(gates[i], k, strict=True)])) / temperature
            for k in candidates
        ]
        negative = [x for x, k in zip(logits, keys, strict=True) if k not in (own[i], other[i])]
        for p, key in enumerate(keys):
            if key == other[i]:
                total += lse([logits[p], *negative]) - logits[p]
                number += 1
    return total / number


def gated(batch, g):
    return {
        "anchors": (gaussian(batch, 6, generator=g), 0),
        "candidates": (gaussian(batch, 6, generator=g), 0),
        "gates": (torch.rand(batch, 6, generator=g, dtype=torch.float64), 0),
        "own": (torch.arange(batch) % 3, 0),
        "other": (torch.arange(batch) // 3 % 3, 0),
        "keys": (torch.arange(batch) % 4, 0),
    }


def multihead_info_nce(first, second, a, b, regulariser=0.1):
    losses_ = []
    for head, (xs, ys) in enumerate(zip(first, second, strict=True)):
        xs, ys = [unit(x) for x in xs], [unit(y) for y in ys]
        for i, x in enumerate(xs):
            logits = [dot(x, y) * (a[head][i] + b[head][j]) for j, y in enumerate(ys)]
            heat = 1 / (a[head][i] + b[head][i])
            price = len(x) / 2 * math.log(heat) + 1 / heat
            losses_.append(lse(logits) - logits[i] + regulariser * price)
    return mean(losses_)


def heads(batch, g):
    return {
        "first": (gaussian(2, batch, 6, generator=g), 1),
        "second": (gaussian(2, batch, 6, generator=g), 1),
        "a": (0.5 + torch.rand(2, batch, generator=g, dtype=torch.float64), 1),
        "b": (0.5 + torch.rand(2, batch, generator=g, dtype=torch.float64), 1),
    }


def embedded(name, make):
    return lambda batch, g: {
        "embeddings": (gaussian(batch, 6, generator=g), 0),
        name: make(batch, g),
    }


CASES = [
    Case(
        "InfoNCE",
        lambda anchors, candidates, temperature=0.1: losses.InfoNCE(temperature)(
            anchors, candidates
        ),
        lambda batch, g: {
            n: (gaussian(batch, 6, generator=g), 0) for n in ("anchors", "candidates")
        },
        info_nce,
    ),
    Case("nt_xent", losses.nt_xent, two, nt_xent),
    Case(
        "moco",
        losses.moco,
        lambda batch, g: {
            "queries": (gaussian(batch, 6, generator=g), 0),
            "keys": (gaussian(batch, 6, generator=g), 0),
            "queue": (gaussian(9, 6, generator=g), None),
        },
        moco,
    ),
    Case(
        "moco_ids",
        lambda queries, keys, queue, own, held, temperature=0.07: losses.moco(
            queries, keys, queue, temperature, (own, held)
        ),
        lambda batch, g: {
            "queries": (gaussian(batch, 6, generator=g), 0),
            "keys": (gaussian(batch, 6, generator=g), 0),
            "queue": (gaussian(9, 6, generator=g), None),
            "own": (torch.arange(batch), 0),
            "held": (torch.arange(9) % 5 - 1, None),
        },
        moco,
    ),
    Case("dcl", losses.dcl, two, dcl),
    Case("dclw", losses.dclw, two, dclw),
    Case("dhel", losses.dhel, two, dhel),
    Case(
        "hard_info_nce",
        lambda first, second, temperature=0.3: losses.hard_info_nce(
            first, second, temperature, 0.4
        ),
        two,
        hard_info_nce,
    ),
    Case("mv_info_nce", losses.mv_info_nce, views, mv_info_nce),
    Case(
        "mv_info_nce_apart",
        lambda views, temperature=0.5: losses.mv_info_nce(views, temperature, joint=False),
        views,
        mv_info_nce_apart,
    ),
    Case("mv_dhel", losses.mv_dhel, views, mv_dhel),
    Case("cacr", losses.cacr, views, cacr, temperature=False),
    Case(
        "sup_con",
        losses.sup_con,
        embedded("labels", lambda batch, g: (torch.arange(batch) % 3, 0)),
        sup_con,
    ),
    Case(
        "soft_info_nce",
        losses.soft_info_nce,
        embedded(
            "memberships",
            lambda batch, g: (torch.rand(batch, 3, generator=g, dtype=torch.float64), 0),
        ),
        soft_info_nce,
    ),
    Case(
        "supremix",
        lambda embeddings, values, temperature=0.3: losses.supremix(
            embeddings, values, temperature, band=0.5, mixtures=0
        ),
        embedded("values", lambda batch, g: (torch.arange(batch).double() % 4 * 0.4, 0)),
        supremix,
    ),
    Case(
        "intent_contrast",
        losses.intent_contrast,
        lambda batch, g: {**two(batch, g), "intents": (torch.arange(batch) % 3, 0)},
        intent_contrast,
    ),
    Case(
        "prototype_contrast",
        losses.prototype_contrast,
        lambda batch, g: {
            "embeddings": (gaussian(batch, 6, generator=g), 0),
            "assignments": (torch.arange(batch) % 3, 0),
            "prototypes": (gaussian(4, 6, generator=g), None),
        },
        prototype_contrast,
    ),
    Case("mixup_info_nce", losses.mixup_info_nce, mixup, mixup_info_nce, reorders=False),
    Case(
        "m3col",
        lambda mixed1, mixed2, plain1, plain2, weights, permutation, temperature=0.1: losses.m3col(
            (mixed1, mixed2),
            (plain1, plain2),
            (weights, weights.flip(0)),
            (permutation, permutation),
            temperature,
        ),
        mixup_of_two,
        m3col,
        reorders=False,
    ),
    Case(
        "sep_clr",
        lambda common1, common2, salient1, salient2, target, temperature=0.5: losses.sep_clr(
            (common1, common2), (salient1, salient2), target, temperature
        ),
        separated,
        sep_clr,
    ),
    Case(
        "gated_info_nce",
        lambda anchors, candidates, gates, own, other, keys, temperature=0.1: losses.gated_info_nce(
            anchors, candidates, gates, (own, other), keys, temperature
        ),
        gated,
        gated_info_nce,
    ),
    Case(
        "multihead_info_nce",
        lambda first, second, a, b: losses.multihead_info_nce(first, second, (a, b)),
        heads,
        multihead_info_nce,
        temperature=False,
    ),
]


def inputs_of(case, batch, seed=0):
    return case.inputs(batch, torch.Generator().manual_seed(seed))


# Losses without negatives.


def moments(rows):
    """Means, and the covariance times ``N``, of lists of rows."""
    dims = range(len(rows[0]))
    centre = [mean(x[d] for x in rows) for d in dims]
    away = [[x[d] - centre[d] for d in dims] for x in rows]
    return away, [[sum(x[d] * x[e] for x in away) for e in dims] for d in dims]


def vic_reg(first, second):
    dims, apart, low, redundant = range(len(first[0])), 0.0, 0.0, 0.0
    apart = mean(mean((x[d] - y[d]) ** 2 for d in dims) for x, y in zip(first, second, strict=True))
    for view in (first, second):
        _, square = moments(view)
        cov = [[c / (len(view) - 1) for c in row] for row in square]
        low += mean(max(0.0, 1 - math.sqrt(cov[d][d] + 1e-4)) for d in dims) / 2
        redundant += sum(cov[d][e] ** 2 for d in dims for e in dims if d != e) / len(dims)
    return 25 * apart + 25 * low + redundant


def barlow_twins(first, second):
    (a, aa), (b, bb), n = moments(first), moments(second), len(first)
    loss, dims = 0.0, range(len(first[0]))
    for d in dims:
        for e in dims:
            c = mean(x[d] * y[e] for x, y in zip(a, b, strict=True))
            c /= math.sqrt(aa[d][d] / n + 1e-5) * math.sqrt(bb[e][e] / n + 1e-5)
            loss += (1 - c) ** 2 if d == e else 0.0051 * c**2
    return loss


def sig_reg(embeddings, weights):
    knots = [-5 + 10 * k / 16 for k in range(17)]
    scores = []
    for a in zip(*weights, strict=True):
        y = [dot(a, z) for z in embeddings]
        height = [
            (
                (mean(math.cos(t * x) for x in y) - math.exp(-(t**2) / 2)) ** 2
                + mean(math.sin(t * x) for x in y) ** 2
            )
            * math.exp(-(t**2) / 2)
            for t in knots
        ]
        area = sum((p + q) / 2 * 10 / 16 for p, q in pairwise(height))
        scores.append(len(y) * area)
    return mean(scores)


def le_jepa(views, weights):
    apart = []
    for i in range(len(views[0])):
        centre = [mean(view[i][d] for view in views[:2]) for d in range(len(views[0][i]))]
        apart += [squared(view[i], centre) / len(centre) for view in views]
    return 0.95 * mean(apart) + 0.05 * mean(sig_reg(view, weights) for view in views)


def sketched(name, *lead):
    """Embeddings, and the directions of their sketches, which take no gradient."""
    return lambda batch, g: {
        name: (gaussian(*lead, batch, 6, generator=g), len(lead)),
        "weights": (torch.nn.functional.normalize(gaussian(6, 9, generator=g), dim=0), None),
    }


CASES += [
    Case("vic_reg", losses.vic_reg, two, vic_reg, temperature=False, cosines=False),
    Case("barlow_twins", losses.barlow_twins, two, barlow_twins, temperature=False, cosines=False),
    Case(
        "sig_reg",
        lambda embeddings, weights: losses.sig_reg(embeddings, weights),
        sketched("embeddings"),
        sig_reg,
        temperature=False,
        cosines=False,
    ),
    Case(
        "le_jepa",
        lambda views, weights: losses.le_jepa(views, weights, global_views=2),
        sketched("views", 3),
        le_jepa,
        temperature=False,
        cosines=False,
    ),
]


def siglip(anchors, candidates, temperature=0.1, labels=None):
    a, c = [unit(x) for x in anchors], [unit(x) for x in candidates]
    losses_ = []
    for i, x in enumerate(a):
        for j, y in enumerate(c):
            logit = dot(x, y) / temperature - 10
            same = i == j if labels is None else labels[i] == labels[j]
            losses_.append(math.log(1 + math.exp(-logit if same else logit)))
    return sum(losses_) / len(a)


def koleo(embeddings):
    z = [unit(x) for x in embeddings]
    return -mean(
        math.log(min(squared(x, y) for j, y in enumerate(z) if j != i) + 1e-16) / 2
        for i, x in enumerate(z)
    )


def guided_info_nce(first, second, weights, values, temperature=0.01):
    u = [[unit(x) for x in rows] for rows in (first, second)]
    g = [[unit(x) for x in rows] for rows in (weights, values)]
    losses_ = []
    for i in range(len(first)):
        logits = [dot(u[0][i], u[1][i]) / temperature]
        for j in range(len(first)):
            for a, b in ((0, 1), (0, 0), (1, 1)):
                if j != i and dot(g[a][i], g[b][j]) <= dot(g[0][i], g[1][i]):
                    logits.append(dot(u[a][i], u[b][j]) / temperature)
        losses_.append(max(logits) + lse(x - max(logits) for x in logits) - logits[0])
    return mean(losses_)


def near_views(batch, g):
    """Two views and, as what takes no gradient, a guide's embeddings of the same rows."""
    guide = gaussian(batch, 4, generator=g)
    other = guide + 0.7 * gaussian(batch, 4, generator=g)
    return {**two(batch, g), "weights": (guide, 0), "values": (other, 0)}


CASES += [
    Case(
        "siglip",
        losses.siglip,
        lambda batch, g: {
            n: (gaussian(batch, 6, generator=g), 0) for n in ("anchors", "candidates")
        },
        siglip,
    ),
    Case(
        "siglip_of_labels",
        lambda anchors, candidates, labels, temperature=0.1: losses.siglip(
            anchors, candidates, temperature, labels=(labels, labels)
        ),
        lambda batch, g: {
            "anchors": (gaussian(batch, 6, generator=g), 0),
            "candidates": (gaussian(batch, 6, generator=g), 0),
            "labels": (torch.arange(batch) % 3, 0),
        },
        siglip,
    ),
    Case(
        "koleo",
        losses.koleo,
        lambda batch, g: {"embeddings": (gaussian(batch, 6, generator=g), 0)},
        koleo,
        temperature=False,
    ),
    Case(
        "guided_info_nce",
        lambda first, second, weights, values, temperature=0.01: losses.guided_info_nce(
            first, second, weights, values, temperature
        ),
        near_views,
        guided_info_nce,
    ),
]


def swapped_prediction(logits, memberships, temperature=0.1):
    terms = []
    for t, targets in enumerate(memberships):
        for v, view in enumerate(logits):
            for row, q in zip(view, targets, strict=True):
                bottom = lse(x / temperature for x in row)
                if v != t:
                    terms.append(dot(q, [bottom - x / temperature for x in row]))
    return mean(terms)


def normalised(x):
    centre = mean(x)
    deviation = math.sqrt(mean((a - centre) ** 2 for a in x) + 1e-5)
    return [(a - centre) / deviation for a in x]


def masked_prediction(predictions, values, mask):
    terms = []
    for y, t, masked in zip(predictions, values, mask, strict=True):
        for p, q, m in zip(y, t, masked, strict=True):
            if m:
                e = [abs(a - b) for a, b in zip(p, normalised(q), strict=True)]
                terms.append(mean(x**2 / 2 if x < 1 else x - 0.5 for x in e))
    return mean(terms)


def masked_cosine(predictions, values, mask):
    terms = []
    for y, t, masked in zip(predictions, values, mask, strict=True):
        for p, q, m in zip(y, t, masked, strict=True):
            if m:
                terms.append(1 - dot(unit(p), unit(normalised(q))))
    return mean(terms)


def latents(batch, g):
    return {
        "predictions": (gaussian(batch, 4, 6, generator=g), 0),
        "values": (gaussian(batch, 4, 6, generator=g), 0),
        "mask": (torch.arange(batch * 4).view(batch, 4) % 3 == 0, 0),
    }


CASES += [
    Case(
        "swapped_prediction",
        lambda logits, memberships, temperature=0.1: losses.swapped_prediction(
            logits, memberships, temperature
        ),
        lambda batch, g: {
            "logits": (gaussian(3, batch, 5, generator=g), 1),
            "memberships": (gaussian(2, batch, 5, generator=g).softmax(-1), 1),
        },
        swapped_prediction,
        cosines=False,
    ),
    Case(
        "masked_prediction",
        lambda predictions, values, mask: losses.masked_prediction(predictions, values, mask),
        latents,
        masked_prediction,
        temperature=False,
        cosines=False,
    ),
    Case(
        "masked_cosine",
        lambda predictions, values, mask: losses.masked_prediction(
            predictions, values, mask, "cosine"
        ),
        latents,
        masked_cosine,
        temperature=False,
    ),
]


def similarity_queries(first, second, odd, margin=1.0):
    terms = []
    for a, b, o in zip(first, second, odd, strict=True):
        for x in (a, b):
            gap = squared(a, b) - squared(x, o)
            terms.append(math.log(1 + math.exp(gap)) if margin is None else max(0.0, gap + margin))
    return mean(terms)


def queries(batch, g):
    return {name: (0.5 * gaussian(batch, 6, generator=g), 0) for name in ("first", "second", "odd")}


def meta_contrast(first, second, third, fourth, temperature=1.0):
    total = 0.0
    for a, b in ((first, fourth), (second, third), (third, fourth)):
        z, batch = a + b, len(a)
        s = [[dot(x, y) / temperature for y in z] for x in z]
        mate = [(i + batch) % (2 * batch) for i in range(2 * batch)]
        total += mean(
            lse(x for j, x in enumerate(row) if j != i) - row[mate[i]] for i, row in enumerate(s)
        )
        pull, push = [], []
        for i, row in enumerate(s):
            p, negative = row[mate[i]], [x for j, x in enumerate(row) if j not in (i, mate[i])]
            pull.append(max(0.0, p - min(p, max(negative))))
            push += [max(0.0, max(p, max(negative)) - x) for x in negative]
        total += 0.1 * (mean(pull) + mean(push))
    return total


def bottleneck_contrast(learned, values, temperature=0.05):
    return 0.25 * info_nce(learned, values, temperature)


CASES += [
    Case(
        "similarity_queries",
        losses.similarity_queries,
        queries,
        similarity_queries,
        temperature=False,
        cosines=False,
    ),
    Case(
        "similarity_queries_logistic",
        lambda first, second, odd: losses.similarity_queries(first, second, odd, None),
        queries,
        lambda first, second, odd: similarity_queries(first, second, odd, None),
        temperature=False,
        cosines=False,
    ),
    Case(
        "meta_contrast",
        lambda first, second, third, fourth, temperature=1.0: losses.meta_contrast(
            first, second, third, fourth, temperature
        ),
        lambda batch, g: {
            name: (gaussian(batch, 6, generator=g) / 2, 0)
            for name in ("first", "second", "third", "fourth")
        },
        meta_contrast,
        cosines=False,
    ),
    Case(
        "bottleneck_contrast_pruned",
        lambda pruned, values, temperature=0.05: losses.bottleneck_contrast(
            pruned, values, "pruned", temperature
        ),
        lambda batch, g: {n: (gaussian(batch, 6, generator=g), 0) for n in ("pruned", "values")},
        lambda pruned, values: bottleneck_contrast(pruned, values),
    ),
    Case(
        "bottleneck_contrast_original",
        lambda original, values, temperature=0.05: losses.bottleneck_contrast(
            values, original, "original", temperature
        ),
        lambda batch, g: {n: (gaussian(batch, 6, generator=g), 0) for n in ("original", "values")},
        lambda original, values: bottleneck_contrast(values, original),
    ),
]
