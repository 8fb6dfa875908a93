"""What every command shares: arguments, error lines, exit codes, tables and progress."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

from spane_rllib.core.errors import UserError, one_line


def run_command(main: Callable[[Sequence[str] | None], int | None], argv: Sequence[str] | None = None) -> int:
    """Call `main(argv)` and turn what it raises into an exit code.

    `UserError` and `OSError` print one line and return 2; Ctrl-C returns 130; a closed pipe returns 141.
    """
    try:
        return main(argv) or 0
    except UserError as error:
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader (head, less) went away; point stdout elsewhere so that the interpreter can flush it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:  # a name too long, a full disk: where no better message was at hand
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        return UserError.exit_code


class Parser(argparse.ArgumentParser):
    """An argument parser that raises `UserError` where argparse prints its usage and exits."""

    def error(self, message: str) -> NoReturn:
        """What argparse calls for a wrong command line."""
        raise UserError(f"{message}; see {self.prog} --help")


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


def format_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A plain text table; numbers are right-aligned and floats get thousands separators and one decimal."""

    def text(value: object) -> str:
        if isinstance(value, float):
            return f"{value:,.3f}" if abs(value) < 10 else f"{value:,.1f}"
        return str(value)

    cells = [[text(value) for value in row] for row in rows]
    widths = [max([len(name)] + [len(row[i]) for row in cells]) for i, name in enumerate(header)]
    numeric = [
        bool(rows) and all(isinstance(row[i], int | float) for row in rows) for i in range(len(header))
    ]

    def line(values: Sequence[str]) -> str:
        parts = [
            value.rjust(width) if right else value.ljust(width)
            for value, width, right in zip(values, widths, numeric, strict=True)
        ]
        return "  ".join(parts).rstrip()

    return "\n".join([line(list(header)), line(["-" * width for width in widths]), *map(line, cells)])


class Progress:
    """A counter on standard error: a line that rewrites itself on a terminal, one now and then in a log."""

    def __init__(self, label: str, total: int, unit: str = "", log_every_s: float = 10.0) -> None:
        self.label, self.total, self.unit = label, total, unit
        self._interactive = sys.stderr.isatty()
        self._interval = 0.1 if self._interactive else log_every_s
        self._started = time.monotonic()
        self._shown = self._started if not self._interactive else 0.0

    def update(self, done: int, note: str = "") -> None:
        """Show `done` of the total, not more often than the interval, and always at the end."""
        now = time.monotonic()
        if done < self.total and now - self._shown < self._interval:
            return
        self._shown = now
        elapsed = now - self._started
        text = (
            f"{self.label}: {done:,}/{self.total:,} {self.unit}".rstrip()
            + f" ({elapsed:.0f} s) {note}".rstrip()
        )
        if self._interactive:
            print(f"\r\x1b[2K{text}", end="\n" if done >= self.total else "", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)
