"""The problems by name: those of this package, and those that other packages offer as entry points.

A package offers one in its `pyproject.toml`, and need not be imported for it:

    [project.entry-points."spane_rllib.problems"]
    my_problem = "my_package.problem:PROBLEM"
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from spane_rllib.core.errors import UserError, one_line
from spane_rllib.core.plugins import is_plugin, load_plugin, plugin_options
from spane_rllib.core.settings import Settings
from spane_rllib.core.words import suggestion
from spane_rllib.problems.environments import register_environments
from spane_rllib.problems.problem import Problem

GROUP = "spane_rllib.problems"
DEFAULT = "vm_scheduling"
_OURS = {
    "vm_scheduling": "spane_rllib.problems.vm_scheduling.waits.problem:WAITS",
    "vm_allocations": "spane_rllib.problems.vm_scheduling.allocations.problem:ALLOCATIONS",
    "vm_rescheduling": "spane_rllib.problems.vm_rescheduling.problem:VM_RESCHEDULING",
    "pod_migration": "spane_rllib.problems.pod_migration.problem:POD_MIGRATION",
    "gpu_jobs": "spane_rllib.problems.gpu_jobs.problem:GPU_JOBS",
}


@cache
def _offered() -> dict[str, EntryPoint]:
    ours = {name: EntryPoint(name, where, GROUP) for name, where in _OURS.items()}
    return {point.name: point for point in entry_points(group=GROUP)} | ours


_named: list[str] = []
"""`module:OBJECT` of the problems that were found by it in this process."""


def problem_names() -> list[str]:
    """What `find_problem` knows."""
    return [*_offered(), *_named]


@cache
def find_problem(name: str) -> Problem:
    """The problem called `name`, or that `module:OBJECT` is.

    Raises:
        UserError: there is none, or its package fails.
    """
    if is_plugin(name):
        problem = load_plugin(name)
    elif name in _offered():
        try:
            problem = _offered()[name].load()
        except Exception as error:  # of a package that is not ours
            raise UserError(one_line(f"problem {name}: cannot be loaded: {error!r}")) from error
    else:
        raise UserError(f"no problem is called {name!r}; {suggestion(name, problem_names())}")
    if not isinstance(problem, Problem):
        raise UserError(f"problem {name}: {type(problem).__name__} is not a Problem")
    register_environments(problem.environments)
    if is_plugin(name):
        _named.append(name)
    return problem


def marked_problem(keys: Iterable[str]) -> Problem:
    """The problem that these keys or options mean where none is named."""
    given = set(keys)
    return next((problem for problem in our_problems() if problem.marks & given), find_problem(DEFAULT))


def our_problems() -> list[Problem]:
    """Those of this package."""
    return [find_problem(name) for name in _OURS]


def loadable_problems() -> Iterator[Problem]:
    """All but those of packages that fail: who names one of these is told."""
    for name in problem_names():
        with suppress(UserError):
            yield find_problem(name)


def marks() -> frozenset[str]:
    """What `marked_problem` looks for."""
    return frozenset().union(*(problem.marks for problem in our_problems()))


def problem_of_environment(environment: str) -> Problem:
    """The problem that the environment of this Gymnasium id is about; a `UserError` where it is none's."""
    known: dict[str, Problem] = {}
    for problem in loadable_problems():
        if environment in problem.environments:
            return problem
        known |= dict.fromkeys(problem.environments, problem)
    raise UserError(f"environment {environment!r}: of no problem; {suggestion(environment, known)}")


def network_options(problem: Problem, kind: str) -> type[Settings]:
    """Options of a kind of network: one of the problem's, or the `Options` of a class `module:Class`.

    Raises:
        UserError: there is no such kind.
    """
    if kind in problem.networks:
        return problem.networks[kind]
    if not is_plugin(kind):
        raise UserError(f"network {kind!r} is unknown; {suggestion(kind, problem.networks)}, or module:Class")
    return plugin_options(kind)
