"""Compiling in other processes, while this one starts Ray, reads data or compiles too."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import Any

from spane_rllib.core.progress import waiting
from spane_rllib.problems.registry import find_problem

_PROGRAM = f"from {__name__} import compile_parts; compile_parts()"


@contextmanager
def compiling_beside(problem: str, names: Sequence[str]) -> Iterator[Callable[[Sequence[Any]], None]]:
    """Begin to compile what an evaluation of the policies `names` needs and the cache lacks.

    Other processes begin at once with what is needed whoever decides. What is yielded takes the policies once
    they are loaded, compiles in this process what they need besides, and waits for the others. On one core
    nothing is compiled ahead.
    """
    about = find_problem(problem)
    others = _cores() - 1
    ahead = list(about.missing_parts(())) if others else []
    if ahead and about.baselines.keys() >= set(names):
        ahead.pop()  # this process has nothing else to compile
    with _compiling(problem, ahead, min(others, len(ahead))) as wait:

        def compile_rest(policies: Sequence[Any]) -> None:
            rest = [part for part in about.missing_parts(policies) if part not in ahead] if others else []
            if ahead or rest:
                with waiting("compilation", "once after an installation"):
                    for part in rest:
                        about.compile_part(part)
                    wait()

        yield compile_rest


@contextmanager
def compiling_ahead(problem: str) -> Iterator[Callable[[], None] | None]:
    """Begin to compile what the cache lacks for training in a problem, called as in YAML.

    Takes one process for each core. Yields what waits for them, or None where there are none: on one core, or
    with less than two parts to compile.
    """
    parts = find_problem(problem).missing_parts()
    count = min(_cores(), len(parts))
    with _compiling(problem, parts, count if count > 1 else 0) as wait:
        yield wait if count > 1 else None


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _compiling(problem: str, parts: Sequence[str], count: int) -> Iterator[Callable[[], None]]:
    """Deal `parts` out to `count` processes; yields what waits for them.

    They print nothing, fail without a word (this process then compiles by itself what it needs), and end with
    this one.
    """
    processes: list[Popen[bytes]] = []
    try:
        processes += (_start(problem, parts[first::count]) for first in range(count))
        yield lambda: _wait(processes)
    finally:
        for process in processes:
            process.kill()  # what it has written to the cache is whole
            process.wait()
            assert process.stdin is not None
            process.stdin.close()


def _wait(processes: Sequence[Popen[bytes]]) -> None:
    for process in processes:
        process.wait()


def _start(problem: str, parts: Sequence[str]) -> Popen[bytes]:
    # The same modules as here, but none from the current folder, which -c would take them from first.
    modules = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    return Popen(
        [sys.executable, "-P", "-c", _PROGRAM, problem, *parts],
        env=os.environ | {"PYTHONPATH": modules},
        stdin=PIPE,
        stdout=DEVNULL,
        stderr=DEVNULL,
    )


def compile_parts() -> None:
    """What a process of `compiling_ahead` does: sys.argv has the name of the problem and the parts."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    problem = find_problem(sys.argv[1])
    for part in sys.argv[2:]:
        problem.compile_part(part)
    os._exit(0)  # without half a second of taking everything apart


def _end_with_parent() -> None:
    os.read(0, 1)  # nothing is ever written, but the pipe ends with the parent
    os._exit(1)
