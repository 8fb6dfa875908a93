"""The one exception for bad input, and messages that fit on one line."""

MAX_MESSAGE = 1000


class UserError(Exception):
    """Input the user can mend: a bad file, key, value or path.

    The message is one line that says what is wrong, where, and what to do. Commands print it to standard
    error without a traceback and exit with `exit_code`.
    """

    exit_code = 2


def one_line(message: str) -> str:
    """`message` without line breaks or what a terminal would act on; the middle of a very long one is cut."""
    text = " ".join(message.split())
    text = "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)
    half = MAX_MESSAGE // 2
    return text if len(text) <= MAX_MESSAGE else f"{text[: half - 5]} ... {text[-half:]}"
