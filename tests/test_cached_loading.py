"""Compiled functions from the cache: they do the same, and a process imports nothing for compiling them."""

from pathlib import Path

import pytest
from test_compiling import run_main

SOURCE = """
import numpy as np
from spane_rllib.core.compiling import compiled

@compiled
def squares(count):
    values = np.empty(count)
    for index in range(count):
        values[index] = index * index
    return values.copy()

@compiled
def factorial(number):
    if number > 1:
        return number * factorial(number - 1)
    return 1

@compiled
def hashed(text):
    return hash(text) - 1

@compiled
def refused(number):
    if number > 2:
        raise ValueError("too large", number)
    return number
"""
MAIN = """
import sys
from package.functions import {name}

try:
    print({call} == {answer})
except ValueError as error:
    print(error.args == {answer})
print(sum({name}.stats.cache_hits.values()), "scipy.linalg" in sys.modules)
"""
LATER = """
import numpy as np
from package.functions import squares
from spane_rllib.core.compiling import compiled

@compiled
def length(count):
    return np.linalg.norm(squares(count)[:2]) + squares(count).sum()

print(length(3))
"""


def written(folder: Path, call: str, answer: str) -> str:
    """A program that calls one of the functions, which are written to a package in `folder`."""
    package = folder / "package"
    package.mkdir()
    (package / "functions.py").write_text(SOURCE)
    (package / "later.py").write_text(LATER)
    return MAIN.format(name=call[: call.index("(")], call=call, answer=answer)


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        ("squares(3).tolist()", "[0, 1, 4]"),  # allocated and counted by numba's runtime
        ("factorial(5)", "120"),
        ("hashed('text')", "hash('text') - 1"),  # by secrets of the process
        ("refused(3)", "('too large', 3)"),
    ],
)
def test_the_second_process_imports_no_compiler(tmp_path: Path, call: str, answer: str) -> None:
    main = written(tmp_path, call, answer)
    assert run_main(tmp_path, main) == ["True", "0", "True"]
    assert run_main(tmp_path, main) == ["True", "1", "False"]


def test_a_process_compiles_after_it_has_loaded(tmp_path: Path) -> None:
    main = written(tmp_path, "squares(3).tolist()", "[0, 1, 4]")
    run_main(tmp_path, main)
    assert run_main(tmp_path, main + "import package.later") == ["True", "1", "False", "6.0"]
