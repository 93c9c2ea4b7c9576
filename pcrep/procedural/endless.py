"""Procedural scenes without end: as many as are asked for, each made when it is indexed."""

from dataclasses import dataclass

from pcrep.cloud import Cloud, Scenes
from pcrep.procedural.outdoors import aerial, street
from pcrep.procedural.scenes import unseen
from pcrep.procedural.shapes import CLASSES, ROOM_CLASSES
from pcrep.procedural.town import OUTDOOR_CLASSES
from pcrep.procedural.varied_rooms import room
from tspcrep.common.checkpoints import fingerprint
from tspcrep.common.errors import UserError

KINDS = {
    "procedural": (unseen, CLASSES),
    "rooms": (room, ROOM_CLASSES),
    "aerial": (aerial, OUTDOOR_CLASSES),
    "street": (street, OUTDOOR_CLASSES),
}
"""How a scene of each kind is made from (seed, index), and its classes: plain rooms, varied rooms,
ground seen from the air and from a street."""


@dataclass(frozen=True)
class Endless:
    """``size`` labelled scenes of a kind; scene i depends on (seed, i) alone, in any process.

    Making one takes about 0.3 s of a core; nothing is cached. Raises UserError for an unknown kind
    or a size below 1.
    """

    kind: str
    size: int
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS or self.size < 1:
            raise UserError(
                f"kind {self.kind}, size {self.size}: expected one of {', '.join(KINDS)} and at "
                "least 1 scene"
            )

    @property
    def classes(self) -> tuple[str, ...]:
        return KINDS[self.kind][1]

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Cloud:
        if not 0 <= index < self.size:  # so that iteration ends
            raise IndexError(f"scene {index} of {self.size} {self.kind}")
        return KINDS[self.kind][0](self.seed, index)

    def scenes(self) -> Scenes:
        """The same as labelled scenes, to learn from or to test on."""
        names = tuple(f"{self.kind}-{self.seed}-{i}" for i in range(self.size))
        return Scenes(self.kind, names, self.__getitem__, self.classes)

    def fingerprint(self) -> str:
        """A hash of the kind, the numbers and the points of the first scene."""
        return fingerprint(self.kind, self.size, self.seed, self[0].coords)
