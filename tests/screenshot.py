"""Pictures of a page at two widths, for docs/pictures; needs chromium.

python -m tests.screenshot build/site/index.html docs/pictures/site
python -m tests.screenshot runs/demo/segmentation/report.html docs/pictures/report
"""

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image

from tests.browser import Browser

WINDOWS = ((1400, 900), (390, 844))  # CSS pixels
COLOURS = 256


def take(page: Path, stem: str) -> None:
    """Write ``stem``-1400.png and ``stem``-390.png, in a palette."""
    with tempfile.TemporaryDirectory() as folder, Browser(Path(folder)) as browser:
        for width, height in WINDOWS:
            browser.open(page, width, height=height)
            image = Image.open(io.BytesIO(browser.picture())).convert("RGB")
            image.quantize(COLOURS).save(f"{stem}-{width}.png", optimize=True)


if __name__ == "__main__":
    take(Path(sys.argv[1]), sys.argv[2])
