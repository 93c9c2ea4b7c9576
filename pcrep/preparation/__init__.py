"""One-time preparation of a scene before pretraining: upright, segments, objectness."""

from dataclasses import dataclass, field, replace

from pcrep.cloud import Cloud
from pcrep.datasets.open3d import as_cloud
from pcrep.preparation.foreground import objectness
from pcrep.preparation.planes import upright
from pcrep.preparation.segments import SegmentConfig, over_segment_with_normals


@dataclass(frozen=True)
class PrepareConfig:
    upright: bool = True
    """Rotate frames of a depth camera so that +z is up."""
    segments: SegmentConfig = field(default_factory=SegmentConfig)


def prepare(cloud: Cloud, config: PrepareConfig | None = None) -> Cloud:
    """The cloud turned upright, with ``normal``, ``segment`` and ``objectness``.

    ``cloud`` may be a ``PointCloud`` of Open3D. Points keep their order.
    Deterministic: equal input gives bit-equal output.
    """
    cloud, config = as_cloud(cloud), config or PrepareConfig()
    if config.upright:
        cloud = upright(cloud)
    segment, normal = over_segment_with_normals(cloud, config.segments)
    cloud = replace(cloud, segment=segment, normal=normal)
    return replace(cloud, objectness=objectness(cloud))
