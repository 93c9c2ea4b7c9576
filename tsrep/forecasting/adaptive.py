"""Prediction intervals of a stream that widen where they missed: adaptive conformal inference.

adaptive = AdaptiveInterval(coverage=0.9)
for value in stream:
    low, high = adaptive.interval(lambda q: model.predict_quantiles(history, q)[0, 0])
    adaptive.update(low <= value <= high)
"""

from collections.abc import Callable, Sequence

import numpy as np

from tspcrep.common.errors import UserError


class AdaptiveInterval:
    """The level of an interval, moved after each value by whether the interval held it.

        a_{t+1} = a_t + gamma (a - e_t)    e_t: 1 for a value outside, else 0

    Gibbs and Candes 2021, "Adaptive Conformal Inference Under Distribution Shift", eq. 2. After T
    values of any stream, the share outside differs from a by at most
    ``(max(a, 1 - a) + gamma) / (gamma T)`` (prop. 4.1). A level of 0 or less is an interval of all
    numbers, one of 1 or more holds none.

    Of a forecast h steps ahead the interval is known to miss h steps later; keep one object for
    each step ahead.

    Parameters
    ----------
    coverage : 1 - a, in (0, 1).
    rate : gamma, above 0; the default is theirs. Larger ones follow faster and vary more.
    """

    def __init__(self, coverage: float = 0.9, rate: float = 0.005):
        if not 0 < coverage < 1 or not rate > 0:
            raise UserError(
                f"coverage {coverage}, rate {rate}: expected a coverage in (0, 1), a rate above 0"
            )
        self.coverage, self.rate = coverage, rate
        self.level = 1 - coverage

    def interval(
        self, quantiles: Callable[[Sequence[float]], Sequence[float]]
    ) -> tuple[float, float]:
        """The bounds at the present level; quantiles: from two levels in (0, 1) to two values."""
        if self.level <= 0:
            return -np.inf, np.inf
        if self.level >= 1:
            return np.inf, -np.inf
        low, high = quantiles((self.level / 2, 1 - self.level / 2))
        return float(low), float(high)

    def update(self, inside: bool) -> None:
        """Move the level by whether the interval held the value that came."""
        self.level += self.rate * ((1 - self.coverage) - (not inside))
