"""Ctrl-C and SIGTERM: work stops between two steps, where its state is whole."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_CAUGHT = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def held() -> Iterator[Callable[[], bool]]:
    """Inside, a first Ctrl-C or SIGTERM is kept until the end; a second one acts at once.

    Yields a function that says whether one came, for the loop to stop by. At the end of the block
    the signal acts as it would have: ``KeyboardInterrupt``, or what handles SIGTERM.
    Outside of the main thread, which alone gets signals, nothing is held.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    came: list[int] = []
    before = {number: signal.getsignal(number) for number in _CAUGHT}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    def keep(number: int, frame: object) -> None:
        came.append(number)
        restore()

    for number in _CAUGHT:
        signal.signal(number, keep)
    try:
        yield lambda: bool(came)
    finally:
        restore()
        if came:
            signal.raise_signal(came[0])


@contextmanager
def terminated_as_interrupt() -> Iterator[None]:
    """Inside, SIGTERM raises :class:`Terminated`, so that files are closed and swept."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before if before is not None else signal.SIG_DFL)


class Terminated(KeyboardInterrupt):
    """SIGTERM came; what ends a run on Ctrl-C ends it, too."""


def _terminate(number: int, frame: object) -> None:
    raise Terminated
