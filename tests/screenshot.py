"""Pictures of a page at two widths, for docs/pictures; needs chromium.

python -m tests.screenshot build/site/index.html docs/pictures/site
python -m tests.screenshot runs/seg/report.html docs/pictures/report 1760 1400

The numbers are heights in CSS pixels.
"""

import io
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from tests.browser import Browser

WIDTHS, HEIGHTS = (1400, 390), (900, 844)  # CSS pixels
COLOURS = 256


def take(page: Path, stem: str, heights: Sequence[int] = HEIGHTS) -> None:
    """Write ``stem``-1400.png and ``stem``-390.png, in a palette."""
    with tempfile.TemporaryDirectory() as folder, Browser(Path(folder)) as browser:
        for width, height in zip(WIDTHS, heights, strict=True):
            browser.open(page, width, height=height)
            browser.ask("new Promise((done) => setTimeout(done, 500))")  # scenes are drawn
            image = Image.open(io.BytesIO(browser.picture())).convert("RGB")
            image.quantize(COLOURS).save(f"{stem}-{width}.png", optimize=True)


if __name__ == "__main__":
    take(Path(sys.argv[1]), sys.argv[2], [int(one) for one in sys.argv[3:]] or HEIGHTS)
