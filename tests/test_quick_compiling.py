"""Shortcuts through numba: the same machine code, and nothing of numba stays changed."""

import gc
import re
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest
from numba.core import types
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target

from spane_rllib.core.compiling import compiled
from spane_rllib.core.quick_compiling import QuickCompiler, compiling_quickly


def mixed(values: Any, count: Any) -> Any:
    total, position = 0.0, 0
    for index in range(count):
        if values is not None and values[index] > 0.5:
            position += index // 2
            total += values[index] ** 2 + min(index, 3) - position % 7
    return total, position


def with_closure(values: Any, count: Any) -> Any:
    def twice(x: Any) -> Any:
        return 2 * x

    return np.array([twice(values[index]) for index in range(count)])


FLOATS = types.Array(types.float64, 1, "C")
HALVES = types.Array(types.float32, 1, "C")


@pytest.mark.parametrize("function", [mixed, with_closure])
@pytest.mark.parametrize("kind", [FLOATS, HALVES])
def test_the_machine_code_is_that_of_numba(function: Callable[..., Any], kind: types.Type) -> None:
    plain = numba.njit(error_model="numpy")(function)
    plain.compile((kind, types.int64))
    quick = numba.njit(error_model="numpy", pipeline_class=QuickCompiler)(function)
    with global_compiler_lock, compiling_quickly():
        quick.compile((kind, types.int64))
    assert instructions(quick) == instructions(plain)
    assert quick.nopython_signatures == plain.nopython_signatures


def instructions(function: Any) -> list[str]:
    """Without names, which have a number of their own in each compilation."""
    (code,) = function.inspect_asm().values()
    return [line.split()[0] for line in code.splitlines() if re.match(r"\t[a-z]", line)]


def test_nothing_stays_changed() -> None:
    @compiled
    def double(x: Any) -> Any:
        return 2 * x

    contexts = cpu_target.typing_context, cpu_target.target_context
    before = types.Function.get_call_type
    assert double(21) == 42
    with pytest.raises(numba.TypingError):
        double(object)
    assert types.Function.get_call_type is before
    assert not any("load_additional_registries" in vars(context) for context in contexts)
    assert gc.isenabled()
