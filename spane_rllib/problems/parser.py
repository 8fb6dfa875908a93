"""Command lines that name a problem: its own options are among theirs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from spane_rllib.core.console import Parser, whole_number
from spane_rllib.core.errors import UserError
from spane_rllib.problems.problem import Evaluation, Problem
from spane_rllib.problems.registry import find_problem, marked_problem, marks, problem_names


def problem_parser(command: str, description: str, epilog: str, argv: Sequence[str] | None) -> Parser:
    """The parser of a command that plays episodes of a problem: `--problem`, and that problem's own options.

    Args:
        command: name of the module in the package.
        epilog: may use {name}, {title} and {baselines} of the problem.
        argv: the command line, in which the problem is named, or marked by an option of its own.
    """
    first = Parser(prog=f"python -m spane_rllib.{command}", add_help=False)
    first.add_argument("--problem", metavar="NAME")
    known, rest = first.parse_known_args(argv)
    options = [word.partition("=")[0].removeprefix("--") for word in rest if word.startswith("--")]
    # argparse takes the beginning of an option for it.
    marked = [mark for mark in marks() for option in options if option and mark.startswith(option)]
    problem = find_problem(known.problem) if known.problem else marked_problem(marked)
    parser = Parser(
        prog=f"python -m spane_rllib.{command}",
        description=description,
        epilog=epilog.format(name=problem.name, title=problem.title, baselines=", ".join(problem.baselines)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--problem",
        metavar="NAME",
        default=problem.name,
        help=f"{', '.join(problem_names())}, or module:OBJECT ({problem.name}); the options below are its",
    )
    problem.add_arguments(parser)
    return parser


def add_workers(parser: Parser) -> None:
    """Add the option of commands that can divide what they play among Ray tasks."""
    parser.add_argument(
        "--workers",
        type=whole_number(0, 4096),
        default=0,
        metavar="W",
        help="Ray tasks; 0 runs in this process (default)",
    )


def open_evaluation(problem: Problem, arguments: argparse.Namespace) -> Evaluation:
    """The evaluation that parsed options name, for policies that the command line names.

    Raises:
        UserError: as `Problem.evaluation_of`, or the options say themselves who plays.
    """
    evaluation = problem.evaluation_of(arguments)
    if evaluation.policies:
        raise UserError("these options say themselves who plays; use python -m spane_rllib.evaluate")
    return evaluation
