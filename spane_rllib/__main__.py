"""The command line: `spane-rllib COMMAND ...` or `python -m spane_rllib COMMAND ...`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

from spane_rllib.core.console import run_command
from spane_rllib.core.errors import UserError
from spane_rllib.core.version import __version__
from spane_rllib.core.words import near_miss

COMMANDS = {
    "data": "list, fetch, verify, convert, describe and synthesize VM traces",
    "tune": "train policies and search hyper-parameters",
    "search": "search the weights of a placement score with CMA-ES (direct policy search)",
    "analyze": "tables and figures of a finished tuning run",
    "evaluate": "run policies on episodes of a trace and compare their wait times",
    "compare": "two policies on the same episodes: paired differences with intervals",
    "study": "trained models beside heuristics, with intervals, without training",
    "models": "import weights of the published SPANE code as model folders",
    "plan": "propose what to move in a cluster; nothing is carried out",
    "view": "look at recordings in the browser, or export them",
    "serve": "a policy that answers over HTTP where VMs go, on Ray Serve",
    "completion": "print what completes these commands in bash, zsh or tcsh",
    "submit": "tune and evaluate as jobs of a Ray cluster",
}


def usage() -> str:
    """The help text that lists the commands."""
    lines = [f"  {name:<12}{text}" for name, text in COMMANDS.items()]
    return "\n".join(
        [
            "usage: spane-rllib [--help] [--version] COMMAND ...",
            "",
            "commands:",
            *lines,
            "",
            "spane-rllib COMMAND --help tells more.",
        ]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code (2 for bad input)."""
    return run_command(_dispatch, argv)


def _dispatch(argv: Sequence[str] | None) -> int | None:
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments:
        raise UserError(f"name a command: {', '.join(COMMANDS)}; see spane-rllib --help")
    if arguments[0] in ("-h", "--help"):
        print(usage())
        return 0
    command, *rest = arguments
    if command == "--version":
        print(f"spane-rllib {__version__}")
        return 0
    if command not in COMMANDS:
        hint = near_miss(command, COMMANDS)
        raise UserError(f"no command is called {command!r}; known: {', '.join(COMMANDS)}{hint}")
    code: int | None = import_module(f"spane_rllib.{command}").main(rest)
    return code


if __name__ == "__main__":
    sys.exit(main())
