"""The cache of compiled functions: used by a second process, discarded when what it is made of changes."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numba
import numpy as np
import pytest
from calling import from_python

import spane_rllib.core.compiling
from spane_rllib.core.compiled_arrays import borrowed, flat
from spane_rllib.core.compiling import compiled, inlined

PACKAGE = Path(spane_rllib.__file__).parent
# A package as a third party writes it.
SOURCES = {
    "kernels": """
from spane_rllib.core.compiling import compiled
from plugin.blocks import callee
from .options import OFFSET

@compiled
def caller(x):
    return callee(x) + OFFSET
""",
    "blocks": """
from spane_rllib.core.compiling import compiled, inlined

@inlined
def callee(x):
    return 2 * x
""",
    "options": "from plugin import limits\nOFFSET = len(limits.NAMES)\n",
    "limits": "NAMES = ('one',)\n",
    "report": "from plugin.kernels import caller\nTITLE = 'before'\n",
    "__init__": "from plugin.report import TITLE\n",
}
MAIN = """
from plugin.kernels import caller
print(caller(20), sum(caller.stats.cache_hits.values()), sum(caller.stats.cache_misses.values()))
"""


PAIR = """
from typing import NamedTuple

class Pair(NamedTuple):
    x: int
    y: int
"""
TOTAL = """
from spane_rllib.core.compiling import compiled

@compiled
def total(pair):
    return pair.x + pair.y
"""


def run_main(folder: Path, main: str) -> list[str]:
    """What `main` prints in a process that finds the package, and numba's cache, in `folder`."""
    environment = {
        **os.environ,
        "NUMBA_CACHE_DIR": str(folder / "cache"),
        "PYTHONPATH": os.pathsep.join([str(folder), str(PACKAGE.parent)]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", main], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_a_cache_that_names_a_module_which_is_gone_is_discarded(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "function.py").write_text(TOTAL)
    for module in ("before", "after"):
        (package / f"{module}.py").write_text(PAIR)
        main = (
            f"from package.function import total\nfrom package.{module} import Pair\nprint(total(Pair(1, 2)))"
        )
        assert run_main(tmp_path, main) == ["3"]
        (package / f"{module}.py").unlink()


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    package = tmp_path / "plugin"
    package.mkdir()
    for name, source in SOURCES.items():
        (package / f"{name}.py").write_text(source)
    return package


def test_a_change_of_what_compiled_code_is_made_of_compiles_again(plugin: Path) -> None:
    assert run_main(plugin.parent, MAIN) == ["41", "0", "1"]
    for module, before, after, answer in (
        ("kernels", "+ OFFSET", "- OFFSET", "39"),
        ("blocks", "2 * x", "3 * x", "59"),  # the file of the cached function stays as it is
        ("options", "= len", "= 2 * len", "58"),
        ("limits", "('one',)", "('one', 'two', 'three')", "54"),
    ):
        edit(plugin / f"{module}.py", before, after)
        assert run_main(plugin.parent, MAIN) == [answer, "0", "1"], module
        assert run_main(plugin.parent, MAIN) == [answer, "1", "0"], module


def test_other_changes_do_not(plugin: Path) -> None:
    assert run_main(plugin.parent, MAIN) == ["41", "0", "1"]
    edit(plugin / "report.py", "before", "after")
    edit(plugin / "__init__.py", "\n", "\n# A remark.\n")
    (plugin / "new.py").write_text("NAMES = ('another',)\n")
    assert run_main(plugin.parent, MAIN) == ["41", "1", "0"]


def edit(file: Path, before: str, after: str) -> None:
    source = file.read_text()
    assert before in source
    file.write_text(source.replace(before, after))


@pytest.mark.parametrize("kind", ["compiled", "inlined"])
def test_python_still_sees_the_function(kind: str) -> None:
    def double(x: int) -> int:
        """Twice."""
        return 2 * x

    function = getattr(spane_rllib.core.compiling, kind)(double)
    assert function.__doc__ == "Twice."
    assert function.py_func is double
    assert (from_python(function) if kind == "inlined" else function)(21) == 42


def test_what_is_inlined_refuses_python() -> None:
    """Before and after a compiled function has had it compiled: there is no wrapper to call."""

    @inlined
    def double(x: int) -> int:
        return 2 * x

    for _ in range(2):
        with pytest.raises(TypeError, match=r"double is part of others: call it from a compiled function"):
            double(21)
        assert from_python(double)(21) == 42


def test_an_error_of_what_is_inlined_keeps_its_value() -> None:
    """Also in functions of others, which know nothing of how ours are compiled."""

    @inlined
    def checked(x: int) -> int:
        if x > 3:
            raise ValueError("too large", x)
        return x

    for call in (from_python(checked), compiled(lambda x: checked(x) + 1)):
        assert call(3) in (3, 4)
        with pytest.raises(ValueError, match=r"\('too large', 5\)"):
            call(5)


def test_what_is_inlined_is_compiled_once_for_all_constants() -> None:
    @inlined
    def power(x: int, times: int = 2) -> int:
        return x**times

    assert compiled(lambda x: power(x) + power(x, 3) + power(x, 4) + power(x, x))(3) == 9 + 27 + 81 + 27
    assert len(power.overloads) == 2  # with and without the default


def test_what_is_inlined_is_compiled_once_for_whole_numbers_of_all_sizes() -> None:
    @inlined
    def halves(x: int, y: int) -> float:
        return x * y / 2

    numbers = np.array([2**31 - 1], np.int32)
    assert compiled(lambda x: halves(x[0], 3) + halves(3, len(x)) + halves(x[0], x[0]))(numbers) == (
        (3 * (2**31 - 1) + 3 + (2**31 - 1) ** 2) / 2
    )
    assert len(halves.overloads) == 1


class Inner(NamedTuple):
    flag: bool
    rows: np.ndarray


class Outer(NamedTuple):
    numbers: np.ndarray
    weight: float
    nothing: Any
    inner: Inner


@inlined
def scale(outer: Any) -> None:
    if outer.nothing is None:
        for index in range(len(outer.numbers)):
            outer.numbers[index] *= outer.weight
        if outer.inner.flag:
            outer.inner.rows[1, 0] = len(outer.numbers)


@pytest.mark.parametrize("flag", [True, False])
def test_a_borrowed_tuple_reads_and_writes_what_was_lent(flag: bool) -> None:
    numbers, rows = np.array([1.0, 2.0, 4.0]), np.zeros((2, 2), np.int32)
    before = sys.getrefcount(numbers)
    compiled(lambda outer: scale(borrowed(outer)))(Outer(numbers, 0.5, None, Inner(flag, rows)))
    assert numbers.tolist() == [0.5, 1.0, 2.0]
    assert rows.tolist() == [[0, 0], [3 if flag else 0, 0]]
    assert sys.getrefcount(numbers) == before


def test_a_borrowed_tuple_has_no_other_items() -> None:
    with pytest.raises(numba.TypingError, match="missing"):
        compiled(lambda inner: borrowed(inner).missing)(Inner(True, np.zeros((1, 1))))


def test_a_flat_array_is_the_same_memory() -> None:
    numbers = np.arange(12.0).reshape(3, 2, 2)
    assert compiled(lambda x: flat(x[1]))(numbers).tolist() == [4.0, 5.0, 6.0, 7.0]
    assert np.shares_memory(compiled(lambda x: flat(x))(numbers), numbers)
    with pytest.raises(numba.TypingError):
        compiled(lambda x: flat(x))(numbers[:, 0])


def test_it_is_known_whether_a_function_is_in_the_cache(plugin: Path) -> None:
    ask = "from spane_rllib.core.compiling import is_compiled\nfrom plugin.kernels import caller\n"
    known = ask + "print(is_compiled(caller))"
    assert run_main(plugin.parent, known) == ["False"]
    run_main(plugin.parent, MAIN)
    assert run_main(plugin.parent, known) == ["True"]
    edit(plugin / "blocks.py", "2 * x", "3 * x")
    assert run_main(plugin.parent, known) == ["False"]
