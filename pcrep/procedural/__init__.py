"""Procedural labelled indoor scenes: furnished rooms seen by a moving depth camera, no download.

scenes = procedural(100)
cloud = scenes[7]  # generated when it is indexed, always the same
"""

from pcrep.procedural.scenes import BACKGROUND, SceneConfig, procedural
from pcrep.procedural.shapes import CLASSES

__all__ = ["BACKGROUND", "CLASSES", "SceneConfig", "procedural"]
