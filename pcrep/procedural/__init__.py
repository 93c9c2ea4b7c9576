"""Procedural indoor scenes with labels: rooms seen by a moving depth camera, with no download.

scenes = procedural(100)
cloud = scenes[7]  # made when it is asked for, the same at every time
"""

from pcrep.procedural.scenes import BACKGROUND, SceneConfig, procedural
from pcrep.procedural.shapes import CLASSES

__all__ = ["BACKGROUND", "CLASSES", "SceneConfig", "procedural"]
