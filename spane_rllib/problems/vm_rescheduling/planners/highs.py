"""HiGHS, the solver of linear and integer programs: quiet, on one core, the same at every run."""

from __future__ import annotations

import os
from functools import cache
from typing import Any


def new_program() -> Any:
    """An empty program."""
    import highspy

    _greet()
    program = highspy.Highs()
    for name, value in (("output_flag", False), ("threads", 1), ("random_seed", 0), ("mip_rel_gap", 0.0)):
        program.setOptionValue(name, value)
    return program


@cache
def _greet() -> None:
    """Let the first program of a process print its banner, which no option turns off, to nowhere."""
    import highspy

    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        highspy.Highs()
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
