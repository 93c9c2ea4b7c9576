"""InfoNCE by plain loops over Python floats: independent of tensors, masks and tiles."""

import math


def info_nce(anchors, candidates, relation, temperature, form, weight=None, log_weight=None):
    """Per-anchor losses of lists of rows; ``relation(i, j)`` is "+", "-" or "" (dropped)."""
    log_weight = log_weight or [0.0] * len(candidates)
    losses = []
    for i, a in enumerate(anchors):
        logit = [
            sum(x * y for x, y in zip(a, c, strict=True)) / temperature + b
            for c, b in zip(candidates, log_weight, strict=True)
        ]
        kinds = [relation(i, j) for j in range(len(candidates))]
        positive = [j for j, kind in enumerate(kinds) if kind == "+"]
        negative = [j for j, kind in enumerate(kinds) if kind == "-"]
        lift = {j: math.log(weight(i, j)) if weight else 0.0 for j in negative}
        if form.hardest is not None and negative:
            ranked = sorted((logit[j] + lift[j] for j in negative), reverse=True)
            least = ranked[min(form.hardest, len(ranked)) - 1]
            negative = [j for j in negative if logit[j] + lift[j] >= least]
        repulsion = sum(math.exp(logit[j] + lift[j]) for j in negative)
        if form.denominator == "own":
            terms = [math.log(math.exp(logit[p]) + repulsion) - logit[p] for p in positive]
            losses.append(sum(terms) / len(terms))
            continue
        if form.denominator == "all":
            repulsion += sum(math.exp(logit[p]) for p in positive)
        loss = math.log(repulsion)
        if form.positives == "mean":
            loss -= sum(logit[p] for p in positive) / len(positive)
        elif form.positives == "sum":
            loss -= math.log(sum(math.exp(logit[p]) for p in positive))
        losses.append(loss)
    return losses


def relation_of(row=None, group=None, ignore=None, value=None, band=None):
    """The documented reading of ``Pairs``, one pair at a time."""

    def equal(field, i, j):
        return field is not None and field[0][i] >= 0 and field[0][i] == field[1][j]

    def relation(i, j):
        if equal(row, i, j):
            return ""
        if band is not None:
            if value[0][i] - band <= value[1][j] <= value[0][i] + band:
                return "+"
        elif equal(group, i, j):
            return "+"
        return "" if equal(ignore, i, j) else "-"

    return relation
