"""A page in a real browser: what is seen first, what is drawn, what the pointer and keys do."""

import numpy as np
import pytest

from pcrep.reports.pictures import by_number
from pcrep.reports.render import choose_viewpoint
from pcrep.reports.runs import results
from pcrep.reports.viewer import MOST, SCRIPT, Cloud, Figure, View, to_turn
from tests.browser import CHROMIUM, Browser
from tests.pcrep.reports.results import RESULT
from tspcrep.common import pages
from tspcrep.common.palette import class_colours

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium on the PATH")
CLASSES = ("floor", "<b>chair</b>", "_lamp", "$table$")
PLACES = np.array([[0, 0, 0], [0.8, 0.1, 0.1], [0.1, 0.9, 0], [0.9, 0.8, 0.2]])
WINDOWS = ((390, 844), (1400, 900))


def parts():
    """A figure of four points of four classes, and one of two views that a click colours."""
    rng = np.random.default_rng(0)
    few = Cloud(PLACES, choose_viewpoint(PLACES))
    numbers = np.arange(4)
    colours = by_number(numbers, class_colours(4))
    views = [
        View("Truth", colours, numbers=numbers, names=CLASSES),
        View("Prediction", colours, numbers=numbers[::-1], names=CLASSES),
    ]
    legend = dict(zip(CLASSES, class_colours(4), strict=True))
    many = rng.random((2 * MOST, 3)).astype(np.float32)
    cloud = Cloud(many, choose_viewpoint(many))
    features = rng.normal(size=(len(many), 32)) + 5 * many[:, :1]
    maps = [View("a", cloud=i, features=features, group="g") for i in (0, 1)]
    return [
        *results(RESULT),
        to_turn(Figure([few], views, legend=legend), b"", "four points"),
        to_turn(Figure([cloud, cloud], maps, (0, 7)), b"", "many points"),
    ]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(pages.page("A run", parts(), SCRIPT))
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def show(browser, index):
    """Scroll to a figure, wait until it is drawn, and give the places of its canvases."""
    figure = f"document.querySelectorAll('figure.scene')[{index}]"
    browser.ask(
        f"new Promise((done) => {{ {figure}.scrollIntoView(); const wait = () => "
        f"{figure}.classList.contains('live') ? done() : requestAnimationFrame(wait); wait() }})"
    )
    # A figure above may have grown when it was drawn, too.
    browser.ask(f"{figure}.scrollIntoView()")
    settle(browser)
    return browser.ask(
        f"[...{figure}.querySelectorAll('canvas')].map((c) => c.getBoundingClientRect())"
        ".map((r) => [r.x, r.y, r.width, r.height])"
    )


def settle(browser):
    browser.ask("new Promise((f) => requestAnimationFrame(() => requestAnimationFrame(f)))")


def drawn(browser, index):
    """What the canvases of a figure show, as text."""
    figure = f"document.querySelectorAll('figure.scene')[{index}]"
    return browser.ask(f"[...{figure}.querySelectorAll('canvas')].map((c) => c.toDataURL())")


def key(browser, name):
    for kind in ("keyDown", "keyUp"):
        text = {"text": name} if len(name) == 1 and kind == "keyDown" else {}
        browser.send("Input.dispatchKeyEvent", type=kind, key=name, **text)
    settle(browser)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(("width", "height"), WINDOWS)
def test_the_number_that_matters_is_seen_first(browser, page, width, height, dark):
    browser.open(page, width, dark, height)
    sizes = browser.ask(
        "[...document.querySelectorAll('main *')].filter((e) => e.children.length === 0 && "
        "e.textContent.trim()).map((e) => [parseFloat(getComputedStyle(e).fontSize), "
        "e.textContent, e.getBoundingClientRect().bottom])"
    )
    largest = max(sizes, key=lambda one: one[0])
    assert largest[1] == "40.0 %" and largest[2] < height
    control = next(one for one in sizes if one[1] == "41.1 %")
    assert control[2] < height and control[0] < largest[0]
    assert browser.ask("document.documentElement.scrollWidth") <= width
    wide = "[...document.querySelectorAll('.wide')].map((e) => e.scrollWidth - e.clientWidth)"
    assert max(browser.ask(wide)) <= 0  # no table needs to be moved either
    assert browser.ask("document.querySelectorAll('main').length") == 1
    show(browser, 0), show(browser, 1)
    assert not browser.complaints()


def test_it_is_drawn_in_two_seconds_of_the_browsers_time(browser, page):
    """Of the time that the page takes of its thread, since a busy machine takes its own."""
    browser.send("Performance.enable", timeDomain="threadTicks")
    browser.open(page, 1400)
    show(browser, 0), show(browser, 1)
    metrics = browser.send("Performance.getMetrics")["metrics"]
    seconds = {one["name"]: one["value"] for one in metrics}
    assert 0 < seconds["TaskDuration"] < 2


def test_it_opens_from_the_camera_of_the_still_and_tells_the_class_of_a_point(browser, page):
    browser.open(page, 1400)
    x, y, width, height = show(browser, 0)[0]
    viewpoint = choose_viewpoint(PLACES)
    places, _ = viewpoint.project(PLACES)
    for (across, down), name, other in zip(places, CLASSES, CLASSES[::-1], strict=True):
        browser.point(x + width / 2 + across * width, y + height / 2 + down * width)
        settle(browser)
        told = browser.ask("document.querySelector('output').textContent")
        assert told == f"Truth: {name} · Prediction: {other}"
    browser.point(x + 2, y + 2)
    settle(browser)
    assert browser.ask("document.querySelector('output').textContent") == ""
    named = browser.ask("[...document.querySelectorAll('.legend li')].map((e) => e.textContent)")
    assert tuple(named) == CLASSES


def test_keys_turn_all_views_and_bring_them_back(browser, page):
    browser.open(page, 390)
    show(browser, 0)
    first = drawn(browser, 0)
    browser.ask("document.querySelector('canvas').focus()")
    for name in ("ArrowLeft", "ArrowUp", "+"):
        before = drawn(browser, 0)
        key(browser, name)
        after = drawn(browser, 0)
        assert all(a != b for a, b in zip(before, after, strict=True)), name
    key(browser, "0")
    assert drawn(browser, 0) == first


def test_a_point_clicked_shows_its_activation_map(browser, page):
    browser.open(page, 1400)
    places = show(browser, 1)
    before = drawn(browser, 1)
    x, y, width, height = places[0]
    browser.click(x + width / 2, y + height / 2)
    settle(browser)
    after = drawn(browser, 1)
    assert all(a != b for a, b in zip(before, after, strict=True))
    figure = "document.querySelectorAll('figure.scene')[1]"
    assert browser.ask(f"{figure}.querySelector('output').textContent") == "a: 1.00"
    browser.ask("document.activeElement.blur()")
    assert not browser.complaints()
