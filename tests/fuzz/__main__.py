"""Damage files for every reader until the time is over; print what went wrong.

    python -m tests.fuzz                      # ten minutes, from a seed of today
    python -m tests.fuzz --minutes 1 --first 5000 --only laz "binary ply"

An input that went wrong is made again by its target's name and number: ``runner.damaged``.
"""

import argparse
import sys
import time

from tests.fuzz.runner import failures
from tests.fuzz.targets import targets

_ROUND = 50  # inputs of a target before the next has its turn


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--first", type=int, default=int(time.time()), help="number of an input")
    parser.add_argument("--only", nargs="+", default=list(targets()), help="names of targets")
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    inputs, wrong, first = dict.fromkeys(options.only, 0), 0, options.first
    while time.monotonic() < end:
        for name in options.only:
            if time.monotonic() >= end:
                break
            for number, what in failures(name, range(first, first + _ROUND)).items():
                print(f"{name} {number}: {what}", flush=True)
                wrong += 1
            inputs[name] += _ROUND
        first += _ROUND
    each = f"{min(inputs.values())} to {max(inputs.values())}"
    print(f"{len(inputs)} targets x {each} inputs = {sum(inputs.values())}, {wrong} failures")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
