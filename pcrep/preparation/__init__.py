"""What is done to a scene once, before it is learnt from: upright, segments, foreground."""

from dataclasses import dataclass, field, replace

from pcrep.cloud import Cloud
from pcrep.preparation.foreground import objectness
from pcrep.preparation.planes import upright
from pcrep.preparation.segments import SegmentConfig, over_segment_with_normals


@dataclass(frozen=True)
class PrepareConfig:
    upright: bool = True
    """Turn the frame of a depth camera so that +z is up."""
    segments: SegmentConfig = field(default_factory=SegmentConfig)


def prepare(cloud: Cloud, config: PrepareConfig | None = None) -> Cloud:
    """The cloud upright, with ``normal``, ``segment`` and ``objectness``; points keep their order.

    Deterministic: the same cloud and config give the same bits.
    """
    config = config or PrepareConfig()
    if config.upright:
        cloud = upright(cloud)
    segment, normal = over_segment_with_normals(cloud, config.segments)
    cloud = replace(cloud, segment=segment, normal=normal)
    return replace(cloud, objectness=objectness(cloud))
