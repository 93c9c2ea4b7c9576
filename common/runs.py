"""The run folder: what a tool writes, so that a run can be read, resumed and trusted.

    output/
      config.toml           the resolved configuration
      env.json              the tool, versions, commit, machine
      result.json           the summary over seeds, written last
      report.html           plots
      encoder.safetensors   the encoder that ``load_encoder(output)`` opens
      seed-0/ ...           metrics.jsonl, checkpoint.pt, encoder.safetensors, result.json of a seed

Every file appears by atomic rename: a killed run leaves the old file or the new one, never half.
"""

import json
import os
import platform
import subprocess
import tempfile
from collections.abc import Callable
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, BinaryIO, TypedDict

import torch

from tspcrep.common import config as configuration
from tspcrep.common.distributed import launched_processes, launched_rank
from tspcrep.common.errors import UserError
from tspcrep.common.loggers import check_logger
from tspcrep.common.typed_json import read_json

_PART = ".part"
"""The end of the name of a file that is being written."""

# What may change between a run and its resumption, in any section: where, never what is computed.
FREE_TO_CHANGE = ("resume", "output", "device", "data_root", "logger")
_BATCH_SIZE = "training.batch_size"


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Call ``write`` on a temporary file beside ``path``, flush it to disk, then rename it.

    Raises UserError where the file cannot be written: no permission, a full disk, a path below a
    file, too long a name. The last good file stays, and no half of the new one.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The name is cut since a name that just fits would not with what is added.
        handle, temporary = tempfile.mkstemp(_PART, f".{path.name[:40]}.", path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp's 0600 would hide results from colleagues
        os.replace(temporary, path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _unwritable(path, error) from error
        raise


def sweep(folder: Path) -> None:
    """Remove what :func:`write_atomically` left in a folder when it was killed."""
    for leftover in folder.rglob(f".*{_PART}"):
        leftover.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> UserError:
    kept = "; the file before it is kept" if os.path.exists(path) else ""
    return UserError(f"{path}: cannot be written: {error.strerror or error}{kept}")


def write_bytes(path: Path, content: bytes) -> None:
    write_atomically(path, lambda file: file.write(content))


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2) + "\n")


class _Environment(TypedDict, total=False):
    tool: str
    processes: int


def _environment(folder: Path) -> _Environment:
    """What ``env.json`` says; nothing where there is none."""
    try:
        return read_json(folder / "env.json", _Environment)
    except UserError:
        return {}


def tool_of(folder: Path) -> str | None:
    """The tool that made a run folder; None where the folder does not say, as in version 0.1."""
    return _environment(folder).get("tool")


def environment() -> dict[str, Any]:
    """Versions, commit and machine, for ``env.json``."""
    git = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "commit": git.stdout.strip() or None,
        "packages": {d.name: d.version for d in distributions() if d.name is not None},
    }


class Run:
    """A run folder that is being filled.

    Parameters
    ----------
    tool : name of the tool that fills it; ``env.json`` keeps it, for ``tools/report.py``.
    config : the dataclass that describes the run; written to ``config.toml``. Of its fields,
        ``output`` is the folder, which must be new or empty unless ``resume``; ``seeds`` are the
        seeds to run; ``resume`` continues the run that the folder holds, whose configuration must
        be the same but for what :data:`FREE_TO_CHANGE` names. On another number of processes, the
        product of it and ``training.batch_size`` must be the same. ``training.logger`` is the
        logger of a configuration that trains.

    Nothing is written before :meth:`start`, so that data and options can be checked in between.
    Of the processes that torchrun starts, the first alone checks and writes.

    Raises
    ------
    UserError
        No seeds; the logger is not installed; the folder holds a run and ``resume`` is off; the
        run in it had another configuration or came from another tool.
    """

    def __init__(self, tool: str, config: Any):
        self.tool, self.config = tool, config
        self.output, self.seeds = Path(config.output), tuple(config.seeds)
        check_seeds(self.seeds)
        check_logger(getattr(getattr(config, "training", None), "logger", "none"))
        if launched_rank():
            return
        if not os.path.exists(self._path):  # a path too long for the system is no error yet
            if os.path.exists(self.output) and not _is_empty(self.output):
                raise UserError(
                    f"{self.output}: exists and holds no run; give another --output or an empty "
                    "folder"
                )
        elif not config.resume:
            raise UserError(
                f"{self.output}: already holds a run; continue it with --resume or give another "
                "--output"
            )
        else:
            self._check_same_tool()
            self._check_same_configuration()

    def start(self) -> list[int]:
        """Write what the run is, ``config.toml`` and ``env.json``, and return the seeds to run.

        These are the seeds that have no result yet.
        """
        if not launched_rank():
            if not os.path.exists(self._path):
                write_text(self._path, configuration.to_toml(self.config))
            sweep(self.output)
            # Of the first start, which config.toml is of: its batch size is that of a process.
            processes = _environment(self.output).get("processes", launched_processes())
            found = {"tool": self.tool, "processes": processes, **environment()}
            write_json(self.output / "env.json", found)
        return [s for s in self.seeds if not (self.seed_folder(s) / "result.json").exists()]

    def seed_folder(self, seed: int) -> Path:
        return self.output / f"seed-{seed}"

    def add(self, seed: int, result: dict[str, Any]) -> None:
        """Write the result of a seed, which marks the seed as finished."""
        if not launched_rank():
            write_json(self.seed_folder(seed) / "result.json", result)

    def results(self) -> list[dict[str, Any]]:
        """The results of all seeds, in their order; UserError for a damaged one."""
        paths = [self.seed_folder(seed) / "result.json" for seed in self.seeds]
        return [read_json(path, dict[str, Any]) for path in paths]

    def finish(self, result: dict[str, Any], seed: int, *files: str) -> None:
        """Bring ``files`` of ``seed``, those that it has, to the top and write ``result.json``."""
        for name in files:
            source = self.seed_folder(seed) / name
            if source.exists():
                write_bytes(self.output / name, source.read_bytes())
        write_json(self.output / "result.json", result)

    @property
    def _path(self) -> Path:
        return self.output / "config.toml"

    def _check_same_tool(self) -> None:
        found = tool_of(self.output)
        if found not in (None, self.tool):
            raise UserError(
                f"{self.output}: holds a run of {found}, expected one of {self.tool} to resume; "
                "give another --output"
            )

    def _check_same_configuration(self) -> None:
        path = self._path
        old = _flat(configuration.to_dict(configuration.load(type(self.config), path)))
        new = _flat(configuration.to_dict(self.config))
        many = launched_processes()
        first = _environment(self.output).get("processes", many)
        if first != many and _BATCH_SIZE in old:
            for table, processes in ((old, first), (new, many)):
                table[f"{_BATCH_SIZE} x processes"] = table.pop(_BATCH_SIZE) * processes
        for name in {**old, **new}:
            before, now = old.get(name), new.get(name)
            if before != now and name.rpartition(".")[2] not in FREE_TO_CHANGE:
                raise UserError(
                    f"{path}: the run to resume had {name} = {before}, found {now}; resume with "
                    "the same configuration or give another --output"
                )


def check_seeds(seeds: tuple[int, ...]) -> None:
    """Raise UserError for no seeds, repeated ones, and what no generator takes."""
    wrong = [seed for seed in seeds if not 0 <= seed < 2**32]
    if not seeds or wrong or len(set(seeds)) < len(seeds):
        raise UserError(
            f"seeds: found {' '.join(map(str, seeds)) or 'none'}, expected at least one, each from "
            "0 to 4294967295 and given once"
        )


def _is_empty(folder: Path) -> bool:
    """Whether a folder holds nothing but our own leftovers, at any depth."""

    def ours(path: Path) -> bool:
        if path.is_dir() and not path.is_symlink():
            return True
        return path.name.startswith(".") and path.suffix == _PART

    return folder.is_dir() and all(map(ours, folder.rglob("*")))


def _flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"training": {"epochs": 3}}`` as ``{"training.epochs": 3}``."""
    flat: dict[str, Any] = {}
    for name, value in table.items():
        flat |= (
            _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
        )
    return flat
