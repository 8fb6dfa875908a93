"""The one exception for bad input."""


class UserError(Exception):
    """Input the user can mend: a bad file, key, value or path.

    The message is one line that says what is wrong, where, and what to do. Commands print it to standard
    error without a traceback and exit with `exit_code`.
    """

    exit_code = 2
