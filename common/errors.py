"""What is said to a user: of mistakes to correct, and of data to know about."""


class UserError(ValueError):
    """An input from the user (a file, an option, data) cannot be used.

    The message is one line that says what was found, what was expected and what to do. Tools print
    it on stderr and exit with status 2; library callers catch it as a ``ValueError``.
    """


class DivergedError(UserError, FloatingPointError):
    """A loss or a gradient of a training is not finite."""


class DataWarning(UserWarning):
    """Something about the data that the user should know and need not correct.

    The message is one line, such as how times were read or which columns are left out. Tools print
    it on stderr.
    """
