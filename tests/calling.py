"""Calling from Python what is only inlined into compiled functions."""

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def from_python(inlined: Function) -> Function:
    """The function, compiled by itself."""
    called: Any = numba.njit(lambda *arguments: inlined(*arguments))
    return called
