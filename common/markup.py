"""HTML from text: every name, number and attribute on a page passes through :func:`tag`."""

import html
from typing import Any


class Html(str):
    """Text that is markup already. Anything else is escaped where it is put into a page."""


_VOID = {"img", "meta", "source", "input"}


def tag(name: str, /, *content: object, **attributes: Any) -> Html:
    """An element; ``content`` that is not :class:`Html` is escaped, and so are attributes.

    ``class_`` stands for ``class``, ``data_x`` for ``data-x``. An attribute that is ``True`` has no
    value, one that is ``None`` or ``False`` is left out.
    """
    parts = [name]
    for key, value in attributes.items():
        key = key.rstrip("_").replace("_", "-")
        if value is True:
            parts.append(key)
        elif value is not None and value is not False:
            parts.append(f'{key}="{html.escape(str(value))}"')
    opened = f"<{' '.join(parts)}>"
    return Html(opened if name in _VOID else f"{opened}{join(*content)}</{name}>")


def join(*content: object) -> Html:
    """Pieces one after the other, escaped where they are no markup."""
    return Html("".join(one if isinstance(one, Html) else html.escape(str(one)) for one in content))
