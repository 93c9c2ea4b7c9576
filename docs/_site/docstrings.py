"""Docstrings for the site: underlined headings, their entries and roles, as Markdown.

Ours are prose under NumPy's headings, of which no parser keeps every line.
"""

import re

import griffe

HEADING = re.compile(r"^([A-Z]\w+)\n-{3,}$", flags=re.M)
ENTRY = re.compile(r"^(\*{0,2}\w+(?:, \*{0,2}\w+)*) : ", flags=re.M)
ROLE = re.compile(r":\w+:`~?([^`]+)`")


def as_markdown(text: str) -> str:
    """The docstring ``text`` with bold headings, entries as lists, roles as code."""
    before, *sections = HEADING.split(ROLE.sub(r"`\1`", text))
    for heading, body in zip(sections[::2], sections[1::2], strict=True):
        before += f"**{heading}**\n" + ENTRY.sub(r"\n- `\1`: ", body)
    return before


class Docstrings(griffe.Extension):
    """Change the docstrings of what is documented."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)
