"""Augmentation of which a test switches on what it is about."""

from pcrep.augment import AugmentConfig


def only(**changes) -> AugmentConfig:
    """The configuration that changes nothing, but for ``changes``."""
    nothing = dict.fromkeys(
        ("rotation", "tilt", "flip", "translation", "jitter", "colour_jitter"), 0.0
    )
    nothing |= {"colour_noise": 0.0, "colour_drop": 0.0, "crop": "none", "scale": (1.0, 1.0)}
    return AugmentConfig(**(nothing | changes))
