"""The critical-difference picture of a comparison over many sets."""

from matplotlib.figure import Figure

from tspcrep.common.figures import WIDTH, on_paper
from tsrep.evaluation.ranks import Comparison

_ROW = 0.22  # inches


def rank_picture(found: Comparison, title: str) -> bytes:
    """PNG: systems by average rank, bars over those that do not differ (Demsar, JMLR 2006)."""

    def draw(theme: dict) -> Figure:
        names, ranks = found.systems, found.ranks
        left = (len(names) + 1) // 2
        rows = len(found.cliques) + max(left, len(names) - left)
        figure = Figure((WIDTH * 1.4, _ROW * (rows + 4)), layout="constrained")
        ax = figure.subplots()
        low, high = 1, len(names)
        ax.plot([low, high], [0, 0], color=theme["ink"], lw=1)
        for tick in range(low, high + 1):
            ax.plot([tick, tick], [0, 0.3], color=theme["ink"], lw=1)
            ax.text(tick, 0.5, str(tick), ha="center", fontsize=8)
        for k, (first, last) in enumerate(found.cliques):
            y = -0.5 - 0.5 * k
            ends = [ranks[first] - 0.03, ranks[last] + 0.03]
            ax.plot(ends, [y, y], color=theme["colours"][0], lw=4, solid_capstyle="butt")
        base = -0.8 - 0.5 * len(found.cliques)
        for i, (name, rank) in enumerate(zip(names, ranks, strict=True)):
            on_left = i < left
            y = base - (i if on_left else len(names) - 1 - i)
            end = low - 0.1 if on_left else high + 0.1
            ax.plot([rank, rank, end], [0, y, y], color=theme["faint"], lw=0.8)
            label = f"{name}  {rank:.2f}" if on_left else f"{rank:.2f}  {name}"
            side = "right" if on_left else "left"
            gap = -0.05 if on_left else 0.05
            ax.text(end + gap, y, label, ha=side, va="center", fontsize=8)
        reach = 0.45 * (high - low) + 0.5
        ax.set_xlim(low - reach, high + reach)
        ax.set_ylim(base - max(left, len(names) - left), 1.2)
        ax.set_title(title, fontsize=9)
        ax.set_axis_off()
        return figure

    return on_paper(draw)
