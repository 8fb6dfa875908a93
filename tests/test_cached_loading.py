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
from package.functions import factorial, hashed, refused, squares

print(squares(3).tolist() == [0, 1, 4], factorial(5) == 120, hashed("text") == hash("text") - 1)
try:
    refused(3)
except ValueError as error:
    print(error.args == ("too large", 3))
for function in (squares, factorial, hashed, refused):
    print(sum(function.stats.cache_hits.values()))
print("scipy.linalg" in sys.modules)
"""
SQUARES = """
from package.functions import squares
print(squares(3).sum(), sum(squares.stats.cache_hits.values()))
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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the package with the functions is."""
    package = tmp_path / "package"
    package.mkdir()
    (package / "functions.py").write_text(SOURCE)
    (package / "later.py").write_text(LATER)
    return tmp_path


def test_the_second_process_imports_no_compiler(folder: Path) -> None:
    """Memory from numba's runtime, a call of itself, secrets of the process, an error with values."""
    right = ["True"] * 4
    assert run_main(folder, MAIN) == [*right, "0", "0", "0", "0", "True"]
    assert run_main(folder, MAIN) == [*right, "1", "1", "1", "1", "False"]


def test_a_process_compiles_after_it_has_loaded(folder: Path) -> None:
    assert run_main(folder, SQUARES) == ["5.0", "0"]
    assert run_main(folder, SQUARES + "import package.later") == ["5.0", "1", "6.0"]
