"""Text headers of PLY and PCD, which describe the records that follow."""

from pathlib import Path

from tspcrep.common.errors import UserError

_LONGEST = 1 << 16  # bytes of a header


def header(path: Path, last: str, name: str) -> tuple[list[list[str]], int]:
    """Words of each header line up to the one starting with ``last``, and the offset after it."""
    lines: list[list[str]] = []
    with path.open("rb") as file:
        while file.tell() < _LONGEST and (raw := file.readline(_LONGEST)):
            lines.append(raw.decode("latin1").split())
            if lines[-1][:1] == [last] and raw.endswith(b"\n"):
                return lines, file.tell()
    raise UserError(
        f"{path}: its {name} header has no line {last}, expected one before the points; the file "
        "is cut off or damaged, get it again"
    )
