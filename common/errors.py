"""What is said to a user: of mistakes to correct, and of data to know about."""


class _OneLine(Exception):
    """What a file brings into a message, such as a name with a line break, stays on its line."""

    def __init__(self, message: str):
        super().__init__("".join(c if c.isprintable() else repr(c)[1:-1] for c in message))


class UserError(_OneLine, ValueError):
    """An input from the user (a file, an option, data) cannot be used.

    The message is one line that says what was found, what was expected and what to do. Tools print
    it on stderr and exit with status 2; library callers catch it as a ``ValueError``.
    """


class DivergedError(UserError, FloatingPointError):
    """A loss or a gradient of a training is not finite."""


class DataWarning(_OneLine, UserWarning):
    """Something about the data that the user should know and need not correct.

    The message is one line, such as how times were read or which columns are left out. Tools print
    it on stderr.
    """
