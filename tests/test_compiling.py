"""The cache of compiled functions: used by a second process, discarded when any source changes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import spane_rllib.compiling

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


def test_the_cache_follows_the_sources_of_the_whole_package(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "compiling.py").write_text(Path(spane_rllib.compiling.__file__).read_text())
    (package / "caller.py").write_text(CALLER)
    (package / "callee.py").write_text(CALLEE.format(factor=2))

    def result_hits_misses() -> list[str]:
        environment = {
            **os.environ,
            "NUMBA_CACHE_DIR": str(tmp_path / "cache"),
            "PYTHONPATH": str(tmp_path),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        done = subprocess.run(
            [sys.executable, "-c", MAIN], env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.split()

    assert result_hits_misses() == ["41", "0", "1"]
    assert result_hits_misses() == ["41", "1", "0"]
    # The file of the cached function stays as it is; what it calls changes.
    (package / "callee.py").write_text(CALLEE.format(factor=3))
    assert result_hits_misses() == ["61", "0", "1"]
    assert result_hits_misses() == ["61", "1", "0"]


@pytest.mark.parametrize("kind", ["compiled", "inlined"])
def test_python_still_sees_the_function(kind: str) -> None:
    def double(x: int) -> int:
        """Twice."""
        return 2 * x

    function = getattr(spane_rllib.compiling, kind)(double)
    assert function.__doc__ == "Twice."
    assert function.py_func is double
    assert function(21) == 42
