"""Kill tiny trainings at random moments, go on with the same command, compare every bit.

    python -m tests.crash             # 20 kills of each kind of training
    python -m tests.crash --kills 3 --only series

One in three is killed again while it goes on.
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.crash.killing import TRAININGS, differs, outcome, run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", default=list(TRAININGS), choices=list(TRAININGS))
    options = parser.parse_args()
    wrong = 0
    for name in options.only:
        with tempfile.TemporaryDirectory() as place:
            wrong += _kind(name, Path(place), options.kills, random.Random(options.seed))
    return 1 if wrong else 0


def _kind(name: str, place: Path, kills: int, draw: random.Random) -> int:
    data = TRAININGS[name].data(place)
    status, moments = run(name, data, place / "whole")
    if status:
        print(f"{name}: the run that nobody killed ended with status {status}")
        return 1
    whole, wrong, killed = outcome(name, place / "whole"), 0, 0
    for number in range(kills):
        output = place / f"killed-{number}"
        told = []
        for _ in range(draw.choice((1, 1, 2))):
            at, delay = draw.randint(1, moments), draw.choice((0.0, draw.uniform(0, 0.1)))
            killed += run(name, data, output, at, delay)[0] == -9
            told.append(f"{at} + {delay:.3f} s")
        status, _ = run(name, data, output)
        what = differs(outcome(name, output), whole) if status == 0 else f"status {status}"
        if what:
            wrong += 1
            print(f"{name}, killed at {', '.join(told)} of {moments}: {what}", flush=True)
    print(f"{name}: {killed} kills among {moments} moments, {wrong} of {kills} runs differ")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
