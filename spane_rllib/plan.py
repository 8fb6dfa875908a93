"""`python -m spane_rllib.plan`: what to move in a cluster, as a plan that is carried out elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from spane_rllib.core.console import Parser, run_command
from spane_rllib.core.errors import UserError
from spane_rllib.problems.registry import find_problem, our_problems


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see `--help`."""
    planning = {problem.name: problem.planning for problem in our_problems() if problem.planning}
    first = Parser(prog="python -m spane_rllib.plan", add_help=False)
    first.add_argument("--problem", metavar="NAME", default=next(iter(planning), None))
    named = first.parse_known_args(argv)[0].problem
    chosen = find_problem(named).planning
    if chosen is None:
        raise UserError(f"problem {named}: makes no plans; those that do: {', '.join(planning)}")
    parser = Parser(prog="python -m spane_rllib.plan", description=chosen.description)
    parser.add_argument(
        "--problem", metavar="NAME", help=f"{', '.join(planning)} ({named}); the options below are its"
    )
    chosen.add_arguments(parser)
    arguments = parser.parse_args(argv)
    if getattr(arguments, "output", None) is not None:
        from spane_rllib.core.files import check_file_writable

        check_file_writable(arguments.output)
    print(chosen.plan(arguments))
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
