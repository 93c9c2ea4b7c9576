"""The one exception that a person, not a programmer, can mend."""


class UserError(ValueError):
    """Something that a user handed in cannot be used.

    The message is one line: what was found, what was expected, and what to do. Tools print it on
    stderr and exit with status 2; library callers catch it as a ``ValueError``.
    """
