"""Which problem a command line is about."""

import pytest

from spane_rllib.problems.parser import problem_parser


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("", "vm_scheduling"),
        ("--scenario fading", "vm_allocations"),
        ("--scenario=fading", "vm_allocations"),
        ("--scen fading", "vm_allocations"),
        ("--published-table", "vm_allocations"),
        ("--seed 1", "vm_scheduling"),
        ("--problem vm_allocations", "vm_allocations"),
    ],
)
def test_options_of_a_problem_mean_it(line: str, problem: str) -> None:
    words = line.split()
    parser = problem_parser("evaluate", "", "", words)
    assert parser.parse_args(words).problem == problem
