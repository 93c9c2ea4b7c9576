"""Look at a scan: in Open3D's viewer where there is a display, else on a page to turn.

    python tools/view.py --data scan.ply
    python tools/view.py --data my_frames/ --output look.html

The page is one file that needs no network; its path is printed. Without --output it is written
beside the scan, as NAME.view.html. With --output a page is written where there is a display, too.
"""

from tspcrep.common.options import check_options

if __name__ == "__main__":
    check_options(__file__)

import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from pcrep.datasets import Reading, load_points
from pcrep.datasets.open3d import show
from pcrep.reports.scenes import page_to_turn
from tspcrep.common.config import run_tool
from tspcrep.common.errors import UserError
from tspcrep.common.runs import write_text


@dataclass(frozen=True)
class Config:
    data: Path
    """A scan: a file, or a folder of frames of a depth camera."""
    output: Path | None = None
    """Page to write, an HTML file; default: the viewer, or a page beside the scan."""
    reading: Reading = Reading()


def main(config: Config) -> None:
    if config.output and config.output.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--output {config.output}: expected a file that ends in .html")
    cloud = load_points(config.data, reading=config.reading)
    if config.output is None and has_viewer():
        show(cloud)
        return
    data = config.data.absolute()
    path = config.output or data.with_name(f"{data.name}.view.html")
    write_text(path, page_to_turn(cloud, data.name))
    print(path)


def has_viewer() -> bool:
    """Whether there is Open3D, and a display to open its window on."""
    display = sys.platform in ("win32", "darwin") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    return display and importlib.util.find_spec("open3d") is not None


if __name__ == "__main__":
    run_tool(main, Config)
