"""The cache of compiled functions: used by a second process, discarded when any source changes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import spane_rllib.core.compiling

CALLER = """
from package.compiling import compiled
from package.callee import callee

@compiled
def caller(x):
    return callee(x) + 1
"""
CALLEE = """
from package.compiling import inlined

@inlined
def callee(x):
    return {factor} * x
"""
MAIN = """
from package.caller import caller
print(caller(20), sum(caller.stats.cache_hits.values()), sum(caller.stats.cache_misses.values()))
"""


PAIR = """
from typing import NamedTuple

class Pair(NamedTuple):
    x: int
    y: int
"""
TOTAL = """
from package.compiling import compiled

@compiled
def total(pair):
    return pair.x + pair.y
"""


def run_main(folder: Path, main: str) -> list[str]:
    """What `main` prints in a process that finds the package, and numba's cache, in `folder`."""
    environment = {
        **os.environ,
        "NUMBA_CACHE_DIR": str(folder / "cache"),
        "PYTHONPATH": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", main], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_a_cache_that_names_a_module_which_is_gone_is_discarded(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "compiling.py").write_text(Path(spane_rllib.core.compiling.__file__).read_text())
    (package / "function.py").write_text(TOTAL)
    for module in ("before", "after"):
        (package / f"{module}.py").write_text(PAIR)
        main = (
            f"from package.function import total\nfrom package.{module} import Pair\nprint(total(Pair(1, 2)))"
        )
        assert run_main(tmp_path, main) == ["3"]
        (package / f"{module}.py").unlink()


def test_the_cache_follows_the_sources_of_the_whole_package(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "compiling.py").write_text(Path(spane_rllib.core.compiling.__file__).read_text())
    (package / "caller.py").write_text(CALLER)
    (package / "callee.py").write_text(CALLEE.format(factor=2))

    assert run_main(tmp_path, MAIN) == ["41", "0", "1"]
    assert run_main(tmp_path, MAIN) == ["41", "1", "0"]
    # The file of the cached function stays as it is; what it calls changes.
    (package / "callee.py").write_text(CALLEE.format(factor=3))
    assert run_main(tmp_path, MAIN) == ["61", "0", "1"]
    assert run_main(tmp_path, MAIN) == ["61", "1", "0"]


@pytest.mark.parametrize("kind", ["compiled", "inlined"])
def test_python_still_sees_the_function(kind: str) -> None:
    def double(x: int) -> int:
        """Twice."""
        return 2 * x

    function = getattr(spane_rllib.core.compiling, kind)(double)
    assert function.__doc__ == "Twice."
    assert function.py_func is double
    assert function(21) == 42
