"""Public holidays as a column that is known ahead, through the package ``holidays``."""

import numpy as np
import pandas as pd

from tspcrep.common.errors import UserError

_PREFIX = "holidays "


def holiday_column(country: str) -> str:
    """The name of the column of a country, or of a part of one: ``holidays US-CA``."""
    return f"{_PREFIX}{country}"


def country_of(column: str) -> str | None:
    """The country of a column of holidays, None for another column."""
    return column.removeprefix(_PREFIX) if column.startswith(_PREFIX) else None


def holidays_in(times: pd.Index, country: str) -> np.ndarray:
    """Holidays of each step (T,): 1 on a holiday for steps of up to a day, else their number.

    A step reaches from its time to that of the next; the last is as long as the one before.

    times: (T,), dated and rising. country: ISO 3166, with a part behind a hyphen: US, US-CA, DE-BY.
    Raises UserError for times without dates, a country that is not known, or without the package.
    """
    if not isinstance(times, pd.DatetimeIndex) or len(times) < 2:
        raise UserError(f"holidays {country}: expected rows with dates, found none to place them")
    try:
        from holidays import country_holidays
    except ImportError:
        raise UserError(
            "holidays are read by the package holidays, which is not installed: "
            "pip install 'tspcrep[holidays]'"
        ) from None
    code, _, part = country.partition("-")
    clock = times.tz_localize(None)
    ends = clock.append(clock[-1:] + (clock[-1] - clock[-2]))
    try:
        years = range(int(ends[0].year), int(ends[-1].year) + 1)
        found = country_holidays(code, subdiv=part or None, years=years)
    except NotImplementedError:
        raise UserError(
            f"holidays: found {country!r}, expected a country as US or DE, or a part of one as "
            "US-CA: see https://holidays.readthedocs.io"
        ) from None
    held = np.array(sorted(found), dtype="datetime64[D]")
    days = ends.to_numpy().astype("datetime64[D]")
    stop = np.maximum(days[1:], days[:-1] + 1)  # a step of an hour is of the day that it lies in
    count = np.searchsorted(held, stop) - np.searchsorted(held, days[:-1])
    return count.astype(np.float64)
