"""Compiling in several processes side by side, while this one starts Ray or reads data."""

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


def compile_for(problem: str, policies: Sequence[Any]) -> None:
    """Compile side by side what the evaluation of `policies` needs and the cache lacks."""
    with compiling_ahead(problem, policies) as wait:
        if wait:
            with waiting("compilation", "once after an installation"):
                wait()


@contextmanager
def compiling_ahead(
    problem: str, policies: Sequence[Any] | None = None
) -> Iterator[Callable[[], None] | None]:
    """Begin to compile what the cache lacks for a problem, called as in YAML.

    Takes one process for each core. They print nothing, fail without a word (this process then compiles by
    itself what it needs), and end with this one. Yields what waits for them, or None where there are none:
    on one core, or with less than two parts to compile.

    `policies`: as `Problem.missing_parts` takes them.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parts = find_problem(problem).missing_parts(policies)
    count = min(cores, len(parts))
    processes: list[Popen[bytes]] = []
    try:
        if count > 1:
            processes += (_start(problem, parts[first::count]) for first in range(count))
        yield (lambda: _wait(processes)) if processes else None
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


def _end_with_parent() -> None:
    os.read(0, 1)  # nothing is ever written, but the pipe ends with the parent
    os._exit(1)
