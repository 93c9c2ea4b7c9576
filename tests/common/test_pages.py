"""Pages and figures can be read: contrast of their colours, texts of pictures, reach of keys."""

import re

import matplotlib.colors
import pytest

from tests.accessible import STYLE, Faults, complaints_of_axe, scrolling
from tests.browser import CHROMIUM, Browser
from tspcrep.common import figures, pages
from tspcrep.common.markup import tag

ROOTS = [
    dict(re.findall(r"--(\w+):\s*(#\w+)", root)) for root in re.findall(r":root \{([^}]*)\}", STYLE)
]
LIGHT, DARK = ROOTS[0], {**ROOTS[0], **ROOTS[1]}
THEMES = {"light": (LIGHT, figures._LIGHT), "dark": (DARK, figures._DARK)}


def luminance(colour):
    """Relative luminance of WCAG 2.2."""
    shares = matplotlib.colors.to_rgb(colour)
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in shares]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    """Contrast ratio of WCAG 2.2, 1 to 21."""
    low, high = sorted(luminance(colour) + 0.05 for colour in (one, other))
    return high / low


def test_the_ratio_is_that_of_the_standard():
    assert contrast("black", "white") == pytest.approx(21)
    assert contrast("#777", "#fff") == pytest.approx(4.48, abs=0.005)  # the known near miss
    assert contrast("#767676", "#fff") == pytest.approx(4.54, abs=0.005)


@pytest.mark.parametrize("theme", THEMES)
def test_text_stands_out(theme):
    page, figure = THEMES[theme]
    for text, ground in (("ink", "back"), ("faint", "back"), ("accent", "back"), ("ink", "mark")):
        assert contrast(page[text], page[ground]) >= 4.5, (text, ground)
    assert contrast(figure["ink"], page["back"]) >= 4.5


@pytest.mark.parametrize("theme", THEMES)
def test_lines_and_edges_stand_out(theme):
    page, figure = THEMES[theme]
    edges = re.findall(r"border(?:-left)?:\s*\d+px solid (#\w+)", STYLE)
    assert edges
    for drawn in (*edges, page["faint"], figure["faint"], *figure["colours"]):
        assert contrast(drawn, page["back"]) >= 3, drawn


def test_one_picture_for_both_themes_is_as_clear_as_can_be():
    """No colour has 4.5 on both grounds; the most that it can have on both is between them."""
    most = contrast(LIGHT["back"], DARK["back"]) ** 0.5
    assert most < 4.5
    ink = figures._EITHER["ink"]
    found = min(contrast(ink, LIGHT["back"]), contrast(ink, DARK["back"]))
    assert found == pytest.approx(most, rel=0.02)


def test_what_is_too_wide_is_reached_by_keys(tmp_path):
    (tmp_path / "config.toml").write_text("seed = 0")
    (tmp_path / "env.json").write_text('{"packages": {"torch": "2"}}')
    parts = [
        pages.section("One", pages.table(["a", "b"], [["c", 1]])),
        pages.section("Two", pages.figure((b"", b""), "a figure")),
        *pages.details(tmp_path),
    ]
    read = Faults(pages.page("A page", parts))
    assert read.found == []
    assert read.seen >= scrolling() >= {".wide", "pre"}


@pytest.mark.parametrize(
    ("part", "told"),
    [
        (tag("img", src="data:,"), "a picture without a text"),
        (tag("img", src="data:,", alt=""), "a picture without a text"),
        (tag("pre", "wide"), "<pre> that no key reaches"),
        (tag("div", class_="wide"), "<div> that no key reaches"),
        (tag("canvas", tabindex="0"), "<canvas> without a name"),
        (tag("h3", "a part"), "<h3> after <h1>"),
    ],
)
def test_a_fault_is_found(part, told):
    assert Faults(pages.page("A page", [part])).found == [told]


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium on the PATH")
def test_axe_sees_a_fault(tmp_path):
    path = tmp_path / "page.html"
    pale = tag("p", "hardly seen", style="color: #999; background: #fff")
    path.write_text(pages.page("A page", [tag("img", src="data:,"), pale]))
    with Browser(tmp_path / "profile") as browser:
        found = complaints_of_axe(browser, path, 390, dark=False)
    assert [one.split(":")[0] for one in found] == ["color-contrast", "image-alt"]
