"""What a page owes to readers who do not see it, or use no pointer."""

import functools
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.browser import Browser
from tspcrep.common import pages

STYLE = (Path(pages.__file__).parent / "pages.css").read_text()
_OPENED = """(async () => {
  for (const part of document.querySelectorAll("details")) part.open = true;
  for (const figure of document.querySelectorAll("figure.scene")) {
    figure.scrollIntoView();
    while (!figure.classList.contains("live")) await new Promise(requestAnimationFrame);
  }
})()"""
_FOUND = """axe.run(document).then((found) => found.violations
  .filter((one) => ["serious", "critical"].includes(one.impact))
  .map((one) => `${one.id}: ${one.nodes.map((node) => node.html.slice(0, 200)).join(" ")}`))"""


@functools.cache
def axe() -> str:
    """The script of axe-core; the test is skipped where there is none."""
    path = Path(os.environ.get("AXE", ""))
    if not path.is_file() and (npm := shutil.which("npm")):
        asked = subprocess.run([npm, "root", "--global"], capture_output=True, text=True)
        path = Path(asked.stdout.strip(), "axe-core", "axe.min.js")
    if not path.is_file():
        pytest.skip("needs axe-core: npm install --global axe-core, or AXE=path/of/axe.min.js")
    return path.read_text(encoding="utf-8")


def complaints_of_axe(browser: Browser, page: Path, width: int, dark: bool) -> list[str]:
    """Serious and critical findings on a page with all parts opened and all scenes drawn."""
    script = axe()
    browser.open(page, width, dark)
    browser.ask(_OPENED)
    browser.send("Runtime.evaluate", expression=script)
    return browser.ask(_FOUND)


def scrolling() -> set[str]:
    """Classes (with a dot) and elements that may be moved sideways, by the style of all pages."""
    rules = re.findall(r"([^{}]+)\{[^}]*overflow(?:-x)?:\s*(?:auto|scroll)", STYLE)
    return {one.strip() for rule in rules for one in rule.split(",")}


class Faults(HTMLParser):
    """``found``: what a page lacks: texts of pictures, names of what is drawn or pressed, keys."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.seen: set[str] = set()
        self._scrolling, self._headings = scrolling(), []
        self.feed(page)
        self.close()
        self._check(self.seen >= {"html", "main", "h1", "title"}, "no title, heading or main part")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        kinds = {tag, *(f".{name}" for name in (given.get("class") or "").split())}
        self.seen |= kinds
        if tag == "html":
            self._check(given.get("lang"), "a page without a language")
        if tag == "img":
            self._check(given.get("alt"), "a picture without a text")
        if tag == "canvas" or given.get("role") in ("img", "group"):
            self._check(given.get("aria-label"), f"<{tag}> without a name")
        if kinds & self._scrolling or tag == "canvas":
            self._check(given.get("tabindex") == "0", f"<{tag}> that no key reaches")
        if re.fullmatch("h[1-6]", tag):
            level = int(tag[1])
            last = self._headings[-1] if self._headings else 0
            self._check(level <= last + 1, f"<{tag}> after <h{last}>")
            self._headings.append(level)

    def _check(self, holds: object, told: str) -> None:
        if not holds:
            self.found.append(told)
