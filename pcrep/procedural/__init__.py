"""Procedural labelled scenes, no download: generated when they are indexed, always the same.

scenes = procedural(100)  # furnished rooms seen by a moving depth camera
cloud = scenes[7]
tiles = Endless("aerial", 1_000_000)  # or "rooms", of more kinds, or "street"
"""

from pcrep.procedural.endless import Endless
from pcrep.procedural.scenes import BACKGROUND, SceneConfig, procedural
from pcrep.procedural.shapes import CLASSES

__all__ = ["BACKGROUND", "CLASSES", "Endless", "SceneConfig", "procedural"]
