"""Turn a series into vectors of its steps, or point clouds into vectors of their points.

    python tools/embed.py --encoder runs/etth1 --data ETTh1 --output vectors.parquet
    python tools/embed.py --encoder runs/load --data new.csv --output one.parquet --pool
    python tools/embed.py --encoder series-small --data new.csv --output one.parquet --pool \\
        --own-scale
    python tools/embed.py --encoder series-small --data windows/ --output vectors/ --own-scale
    python tools/embed.py --encoder runs/fac --data scan.ply --output vectors.npz
    python tools/embed.py --encoder runs/fac --data scan.ply --output picture.ply
    python tools/embed.py --encoder runs/fac --data mosd --output vectors/

The encoder decides which of the two. A series gives a Parquet file with the columns time, v0
.. vD-1; where an encoder of one channel reads several columns, load_v0, load_v1, .. for each. It is
scaled as those that the encoder was trained on. A long table, of several series, gives the column
id besides; a labelled set has one row a series, with its part and label. A folder of Parquet files
has a series in each row, and gives a folder of such files with one vector a row: of any size, by
several processes or machines; the same command goes on where it stopped. A cloud gives an NPZ with
coords (N, 3), features (N, D) and row (N,), the number of each point in its file, or a PLY coloured
by the features' first three principal components; several give a folder of NPZ files.
"""

from tspcrep.common.options import check_options

if __name__ == "__main__":
    check_options(__file__)

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import pcrep.embedding
import pcrep.encoders.unet
import tsrep.embedding
import tsrep.encoders.files
import tsrep.sharded
from pcrep.datasets import Reading
from tspcrep.common.config import run_tool
from tspcrep.common.errors import UserError
from tspcrep.common.shards import shards_of
from tspcrep.common.weights import encoder_path, read_encoder
from tsrep.batches import Embedder
from tsrep.datasets.tables import TableConfig

SERIES_ALONE = ("own_scale", "table", "label", "pool", "window")
POINTS_ALONE = ("voxel",)
SHARDS_ALONE = ("workers", "processes")
NOT_OF_SHARDS = ("table", "label", "window", "data_root")


@dataclass(frozen=True)
class Config:
    encoder: Path
    """Run folder, a file encoder.safetensors, or the name of a shipped encoder, series-small."""
    data: str
    """Name of a set, or a path: a table, a point cloud or a folder of them."""
    output: Path
    """File to write: Parquet for a series, NPZ or PLY for a cloud; or a folder for several."""
    data_root: Path | None = None
    """Folder with the named sets; default: $TSPCREP_DATA, then the cache of prepare_data.py."""
    columns: tuple[str, ...] | None = None
    """Series: columns to encode; by default those that the encoder was trained on. Points: names
    of the columns of files that do not name them, such as x,y,z,r,g,b,label."""
    own_scale: bool = False
    """Series: standardise by mean and deviation of these data, not of the training series."""
    label: str | None = None
    """Series: column of the classes, which makes a table a labelled set of one vector a series."""
    table: TableConfig = TableConfig()
    pool: bool = False
    """Series: write one vector, with the last timestamp: the maximum over time, or the summary of
    an encoder that has its own."""
    window: int | None = None
    """Series: encode each step through a window of this many steps; default: the whole past."""
    workers: Literal["local", "ray"] = "local"
    """Folder of Parquet files: who encodes them, processes of this machine or Ray (extra ray)."""
    processes: int | None = None
    """Folder of Parquet files: files at a time; default: as many as there are cores."""
    voxel: float | None = None
    """Points: voxel edge in metres; default: that of the training, or else one that fits the
    distance between points."""


def main(config: Config) -> None:
    shipped = tsrep.encoders.files.SHIPPED, pcrep.encoders.unet.SHIPPED
    kind = read_encoder(encoder_path(config.encoder, *shipped))[0]
    if kind == "SparseUNet":
        refuse(config, (*SERIES_ALONE, *SHARDS_ALONE), "series, and this encoder reads points")
        encoder, data = config.encoder, config.data
        reading = Reading(columns=config.columns or ())
        pcrep.embedding.embed(encoder, data, config.output, config.voxel, config.data_root, reading)
    elif shards_of(Path(config.data)):
        refuse(config, POINTS_ALONE, "points, and this encoder reads series")
        refuse(config, NOT_OF_SHARDS, "one table, and these are Parquet files with a series a row")
        embed_shards(config)
    else:
        refuse(config, POINTS_ALONE, "points, and this encoder reads series")
        refuse(config, SHARDS_ALONE, "a folder of Parquet files, and --data is none")
        names = [field.name for field in fields(tsrep.embedding.Request)]
        request = tsrep.embedding.Request(**{name: getattr(config, name) for name in names})
        tsrep.embedding.embed(request, config.output)
    print(config.output)


def embed_shards(config: Config) -> None:
    columns = config.columns or ("values",)
    if len(columns) > 1:
        raise UserError(
            f"--columns {' '.join(columns)}: a folder of Parquet files has one column, of lists"
        )
    embedder = Embedder(config.encoder, columns[0], own_scale=config.own_scale)
    data = Path(config.data)
    tsrep.sharded.embed_shards(embedder, data, config.output, config.workers, config.processes)


def refuse(config: Config, options: tuple[str, ...], reason: str) -> None:
    """Raise a UserError where one of the options is given."""
    for name in options:
        if getattr(config, name) != getattr(Config, name):
            raise UserError(f"--{name.replace('_', '-')}: is for {reason}: leave it out")


if __name__ == "__main__":
    run_tool(main, Config)
