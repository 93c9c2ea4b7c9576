"""JSON that was damaged: any key dropped, any value replaced by one of another type."""

import copy
from typing import Any

from hypothesis import strategies as st

OTHERS = (
    None,
    True,
    7,
    -1,
    0.5,
    float("nan"),
    float("inf"),
    10**400,
    "x",
    "<b>",
    [],
    ["x"],
    {},
    {"x": 1},
)


def places(value: Any, at: tuple = ()) -> list[tuple]:
    """The paths of everything below a value."""
    inside = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [place for key, one in inside for place in ((*at, key), *places(one, (*at, key)))]


@st.composite
def damaged(draw: st.DrawFn, value: Any) -> Any:
    """A copy of a JSON value with one thing missing, or another thing in its place."""
    value, place = copy.deepcopy(value), draw(st.sampled_from(places(value)))
    holder = value
    for key in place[:-1]:
        holder = holder[key]
    if draw(st.booleans()):
        del holder[place[-1]]
    else:
        holder[place[-1]] = draw(st.sampled_from(OTHERS))
    return value
