"""What every command shares: arguments, error lines and exit codes."""

from __future__ import annotations

import argparse
import atexit
import gc
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from spane_rllib.core.errors import UserError, one_line
from spane_rllib.core.progress import Progress, close_progress
from spane_rllib.core.signals import (
    INTERRUPTED,
    exit_code,
    open_standard_streams,
    stopping_like_ctrl_c,
    was_told_to_stop,
)
from spane_rllib.core.tables import add_table_options, format_table, print_json, tables_chosen
from spane_rllib.core.words import nearest

__all__ = [
    "Parser",
    "Progress",
    "add_table_options",
    "configured_parser",
    "format_table",
    "print_json",
    "run_command",
    "tables_chosen",
    "whole_number",
]


def run_command(main: Callable[[Sequence[str] | None], int | None], argv: Sequence[str] | None = None) -> int:
    """Call `main(argv)` and turn what it raises into an exit code.

    `UserError`, `OSError` and `MemoryError` print one line and return 2; Ctrl-C returns 130,
    SIGTERM 143 and SIGHUP 129; a closed pipe returns 141.
    """
    if sys.stdout is None or sys.stderr is None:  # closed by the shell, as in `2>&-`
        open_standard_streams()
        sys.stdout, sys.stderr = sys.stdout or os.fdopen(1, "w"), sys.stderr or os.fdopen(2, "w")
    # Looking for cycles among all objects of torch and Ray makes the end of the process a second longer.
    atexit.register(gc.freeze)
    with stopping_like_ctrl_c():
        return exit_code(_run(main, argv))


def _run(main: Callable[[Sequence[str] | None], int | None], argv: Sequence[str] | None) -> int:
    try:
        try:
            return main(argv) or 0
        finally:
            close_progress()  # so that a message begins on a line of its own
    except UserError as error:
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) went away; point stdout elsewhere so that the interpreter can flush it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except MemoryError as error:
        print(f"error: {one_line(f'not enough memory for that ({error})')}; give less data", file=sys.stderr)
        return UserError.exit_code
    except OSError as error:  # a name too long, a full disk: where no better message was at hand
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        return UserError.exit_code
    except Exception:
        if not was_told_to_stop():
            raise
        print("interrupted", file=sys.stderr)  # like the processes that did not answer any more
        return INTERRUPTED


class Parser(argparse.ArgumentParser):
    """An argument parser that raises `UserError` where argparse prints its usage and exits."""

    def error(self, message: str) -> NoReturn:
        """What argparse calls for a wrong command line."""
        unknown, _, rest = message.partition(_UNRECOGNISED)
        if rest and not unknown:
            word = next((word for word in rest.split() if word.startswith("-")), "")
            message += _nearest(word.partition("=")[0], _options(self))
        raise UserError(f"{message}; see {self.prog} --help")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """argparse's check of choices, naming the nearest one."""
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            near = _nearest(str(value), map(str, action.choices or ()))
            raise argparse.ArgumentError(action, error.message + near) from None


_UNRECOGNISED = "unrecognized arguments: "


def _nearest(word: str, allowed: Iterable[str]) -> str:
    near = nearest(word, allowed)
    return f", did you mean {near}" if near else ""


def _options(parser: argparse.ArgumentParser) -> set[str]:
    """The options of the parser and its subcommands."""
    found: set[str] = set()
    for action in parser._actions:
        found.update(action.option_strings)
        if isinstance(action, argparse._SubParsersAction):
            found.update(*map(_options, action.choices.values()))
    return found


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """The `type` of an argument that takes a whole number from `low` to `high`."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"must be a whole number from {low} to {high}, got {text!r}")
        return value

    return parse


def configured_parser(
    command: str, description: str, epilog: str, *, config: str, example: str, what: str
) -> Parser:
    """The parser of a command that runs a YAML configuration in a results folder: CONFIG, --set and --resume.

    Args:
        command: name of the module in the package.
        config: help of CONFIG.
        example: of an override, as in `seed=1`.
        what: the run that --resume continues.
    """
    parser = Parser(
        prog=f"python -m spane_rllib.{command}",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("config", nargs="?", metavar="CONFIG", help=config)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help=f"override a key, as in {example}; repeatable",
    )
    parser.add_argument("--resume", metavar="DIR", help=f"continue the {what} in this results folder")
    return parser


def add_trust(parser: Parser) -> None:
    """Add the option by which a results folder of somebody else is continued."""
    parser.add_argument(
        "--trust",
        action="store_true",
        help="--resume also what was made by somebody else or elsewhere: code in its files is run",
    )
