"""The exception for mistakes that the user, not the programmer, can correct."""


class UserError(ValueError):
    """An input from the user (a file, an option, data) cannot be used.

    The message is one line that says what was found, what was expected and what to do. Tools print
    it on stderr and exit with status 2; library callers catch it as a ``ValueError``.
    """


class DivergedError(UserError, FloatingPointError):
    """A loss or a gradient of a training is not finite."""
