"""The one error for input that a user can mend."""


class InputError(ValueError):
    """What was expected, what was found, and the remedy, in one line.

    The command line prints it on stderr and exits with status 2; any other exception is our bug and
    keeps its traceback.
    """
