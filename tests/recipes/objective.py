"""A toy objective of points: matched points of two views have equal features."""

from torch import Tensor

from pcrep.contrast.objective import Objective
from pcrep.contrast.views import Views, draw_matches


class MatchedDistance(Objective):
    name, title = "matched", "Matched distance"

    def contrast(self, views: Views) -> dict[str, Tensor]:
        rows_a, rows_b = draw_matches(views, most=64)
        a, b = self.query(views.a.input)[rows_a], self.query(views.b.input)[rows_b]
        return {"loss": (a - b).square().sum() / max(1, len(rows_a))}
