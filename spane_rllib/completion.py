"""`spane-rllib completion SHELL`: what completes the commands and their options on Tab."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from inspect import signature

from spane_rllib.core.console import Parser, run_command
from spane_rllib.core.errors import UserError

SHELLS = ("bash", "zsh", "tcsh")
_EPILOG = """bash: spane-rllib completion bash > ~/.local/share/bash-completion/completions/spane-rllib
zsh:  spane-rllib completion zsh > ~/.zsh/completions/_spane-rllib, with that folder in fpath"""


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="spane-rllib completion",
        description="Print a script that completes spane-rllib, its commands and their options.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see `--help`."""
    arguments = _parser().parse_args(argv)
    print(script(arguments.shell))
    return 0


def script(shell: str) -> str:
    """The completion script for a shell; a `UserError` without the package shtab."""
    try:
        import shtab
    except ImportError as error:
        raise UserError("completion needs shtab; pip install shtab") from error
    return str(shtab.complete(_all_commands(), shell))


def _all_commands() -> argparse.ArgumentParser:
    """One parser for all commands, which the real command line does without: each loads alone."""
    from spane_rllib.__main__ import COMMANDS

    parser = argparse.ArgumentParser(prog="spane-rllib")
    parser.add_argument("--version", action="store_true", help="print the version")
    commands = parser.add_subparsers(metavar="COMMAND")
    for name, text in COMMANDS.items():
        module = import_module(f"spane_rllib.{name}")
        if make := getattr(module, "_parser", None):
            # Commands that play a problem have its options: those of the first problem are completed.
            own = [make([]) if signature(make).parameters else make()]
        else:
            own = []
        command = commands.add_parser(name, help=text, parents=own, add_help=False)
        if name == "submit":
            jobs = command.add_subparsers(metavar="JOB")
            jobs.add_parser("tune", help="the main job", parents=[module._tune_parser()], add_help=False)
            own = [module._evaluate_parser("evaluate", [])]
            jobs.add_parser("evaluate", help="evaluations", parents=own, add_help=False)
    return parser


if __name__ == "__main__":
    sys.exit(run_command(main))
