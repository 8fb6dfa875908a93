"""Compiling in processes of their own, beside the one that needs it."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import ray  # noqa: F401

import spane_rllib
from spane_rllib.experiments.compiling_ahead import compiling_ahead, compiling_beside

import psutil  # isort: skip  (Ray brings it along, and finds it when it is imported)

# A problem as a third party writes it, whose parts leave files.
PLUGIN = """
import os, time
from pathlib import Path
from spane_rllib.problems.registry import find_problem

class Parts(type(find_problem("pod_migration"))):
    name = "parts"
    baselines = {"simple": "decides nothing"}

    def missing_parts(self, policies=None):
        parts = ("a", "b", "c", "failing", "endless")[:self.count]
        return (*parts, "learned") if policies else parts

    def compile_part(self, part):
        print("noise")
        if part == "failing":
            raise ValueError("noise")
        (Path(os.environ["PARTS_FOLDER"]) / part).write_text(str(os.getpid()))
        while part == "endless":
            time.sleep(0.01)

class Three(Parts):
    count = 3

class All(Parts):
    count = 5

THREE, ALL = Three(), All()
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "some_parts.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PARTS_FOLDER", str(tmp_path))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: {0, 1}, raising=False)
    return tmp_path


def test_every_part_is_compiled_and_nothing_printed(plugin: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with compiling_ahead("some_parts:THREE") as wait:
        assert wait
        wait()
        assert {file.name for file in plugin.iterdir() if not file.suffix} >= {"a", "b", "c"}
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("names", [["simple"], ["simple", "model"], []])
def test_an_evaluation_compiles_a_part_itself(plugin: Path, names: list[str]) -> None:
    with compiling_beside("some_parts:THREE", names) as compile_rest:
        compile_rest(["a policy"] if "model" in names else [])
    by_process = {part: (plugin / part).read_text() for part in "abc"}
    here = str(os.getpid())
    assert by_process["a"] == by_process["b"] != here
    if "model" in names:
        assert (plugin / "learned").read_text() == here
        assert by_process["c"] == by_process["a"]
    else:
        assert by_process["c"] == here


def test_on_one_core_nothing_is_compiled_ahead(plugin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: {0}, raising=False)
    with compiling_beside("some_parts:THREE", ["simple"]) as compile_rest:
        compile_rest([])
    assert not (plugin / "a").exists()


def test_what_fails_is_left_and_what_goes_on_is_ended(plugin: Path) -> None:
    with pytest.raises(KeyboardInterrupt), compiling_ahead("some_parts:ALL"):
        wait_for(lambda: (plugin / "endless").exists() and (plugin / "endless").read_text())
        raise KeyboardInterrupt
    assert not psutil.pid_exists(int((plugin / "endless").read_text()))


# The process ends as one that is killed does: nothing of it runs any more.
ABRUPT = """
import os, sys
from spane_rllib.experiments.compiling_ahead import compiling_ahead
os.sched_getaffinity = lambda _process: {0, 1}
with compiling_ahead("some_parts:ALL"):
    sys.stdin.read()
    os._exit(1)
"""


def test_processes_end_with_the_one_they_compile_for(plugin: Path) -> None:
    path = os.pathsep.join([str(plugin), str(Path(spane_rllib.__file__).parents[1])])
    command = [sys.executable, "-c", ABRUPT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=os.environ | {"PYTHONPATH": path}) as parent:
        wait_for(lambda: (plugin / "endless").exists() and (plugin / "endless").read_text())
        compiling = psutil.Process(int((plugin / "endless").read_text()))
    wait_for(lambda: not compiling.is_running() or compiling.status() == psutil.STATUS_ZOMBIE)
    assert parent.returncode == 1


def wait_for(condition: Callable[[], object]) -> None:
    while not condition():  # pytest's time limit ends it
        time.sleep(0.05)


WAITS = """
from spane_rllib.experiments.compiling_ahead import compiling_ahead
from spane_rllib.problems.registry import find_problem
with compiling_ahead("vm_scheduling") as wait:
    wait()
problem = find_problem("vm_scheduling")
assert not problem.missing_parts()
problem.compile_ahead()
from spane_rllib.problems.vm_scheduling.rollout import _play_exploring, _play_greedily, _play_heuristic
from spane_rllib.problems.vm_scheduling.simulator.episodes import _probe, _run_episodes
from spane_rllib.problems.vm_scheduling.simulator.lower_bound import _bounds
for function in _play_exploring, _play_greedily, _play_heuristic, _probe, _run_episodes, _bounds:
    print(sum(function.stats.cache_hits.values()), sum(function.stats.cache_misses.values()))
"""


@pytest.mark.slow
def test_parts_compile_all_that_training_needs(tmp_path: Path) -> None:
    environment = os.environ | {
        "NUMBA_CACHE_DIR": str(tmp_path),
        "PYTHONPATH": str(Path(spane_rllib.__file__).parents[1]),
    }
    done = subprocess.run(
        [sys.executable, "-c", WAITS], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:-1] == ["1 0"] * 6
