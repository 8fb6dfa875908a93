"""Processes of a running experiment are killed or told to stop; nothing that was finished is lost."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ray.cluster_utils import Cluster
from time_limits import ANSWER_S, COMMAND_S

import psutil  # isort: skip  (Ray brings it along, and finds it when it is imported)

pytestmark = pytest.mark.slow

REPOSITORY = str(Path(__file__).parents[2])
SHORT, LONG = "mlp-0000", ("spane-0000", "spane-0001")
CONFIG = """
name: tiny
trace: {source: synthetic, synthetic_vms: 3000}
cluster: {servers: 2}
training:
  {gradient_steps: 200, batch_size: 32, n_step: 5, lanes: 4, warmup_episodes: 4, replay_capacity: 4000}
validation: {episodes: 4, every: 4}
methods:
  mlp: {network: mlp, training: {gradient_steps: 4}}
  spane: {network: spane, trials: 2, training: {learning_rate: {loguniform: [0.001, 0.01]}}}
evaluation: {top_k: 2, episodes: 6, heuristics: [first-fit]}
resources: {checkpoint_every: 1, num_cpus: 2}
"""
ITERATIONS = 50
CRASHING = """
import sys
from spane_rllib.experiments.tuning import training
from spane_rllib.tune import main

class TrialTrainable(training.TrialTrainable):
    def step(self):
        if self._param_space["trial"]["name"] == "spane-0000" and self.iteration == 10:
            raise RuntimeError("this trial cannot go on")
        return super().step()

training.TrialTrainable = TrialTrainable
sys.exit(main(sys.argv[1:]))
"""


class Command:
    """`python -m spane_rllib.NAME ARGUMENTS` in `folder`, killed at the end if it still runs."""

    def __init__(self, folder: Path, name: str, *arguments: object, **environment: str) -> None:
        self._output, self._errors = (
            folder / f"{name}-{time.monotonic_ns()}.{kind}" for kind in ("out", "err")
        )
        with self._output.open("w") as output, self._errors.open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", f"spane_rllib.{name}", *map(str, arguments)],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": REPOSITORY, "OMP_NUM_THREADS": "1", **environment},
                stdout=output,
                stderr=errors,
            )

    def __enter__(self) -> Command:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def errors(self) -> str:
        return self._errors.read_text()

    def wait_until(self, ready: Callable[[], Any]) -> Any:
        """The first true value of `ready()`."""
        deadline = time.monotonic() + COMMAND_S
        while not (value := ready()):
            assert self.process.poll() is None, self.errors
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return value

    def end(self, timeout: float = COMMAND_S) -> int:
        """The exit code; a traceback is never shown."""
        code = self.process.wait(timeout)
        assert "Traceback" not in self.errors, self.errors
        return code

    def descendants(self, name: str) -> list[psutil.Process]:
        """The living descendants with a program or title that begins with `name`."""
        found = []
        for process in psutil.Process(self.process.pid).children(recursive=True):
            with suppress(psutil.Error, IndexError):
                program = process.cmdline()[0]
                if program.startswith(name) or Path(program).name == name:
                    found.append(process)
        return found


def results(folder: Path, trial: str) -> list[dict[str, Any]]:
    file = folder / "tune" / trial / "result.json"
    # A line that is being written has no end yet.
    lines = file.read_text().splitlines(keepends=True) if file.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def process_of(folder: Path, trial: str) -> psutil.Process:
    return psutil.Process(results(folder, trial)[-1]["pid"])


def starts(folder: Path, trial: str) -> list[int]:
    """The iterations with which the trial began and, after each interruption, went on."""
    return [
        row["training_iteration"] for row in results(folder, trial) if row["iterations_since_restore"] == 1
    ]


def is_under_way(folder: Path) -> bool:
    """The short trial is finished, and the long ones are past a checkpoint and far from their ends."""
    under_way = [len(results(folder, trial)) for trial in LONG]
    assert max(under_way) < ITERATIONS - 2, "too late to interrupt anything"
    state = max(folder.glob("tune/experiment_state-*.json"), default=None)
    return state is not None and state.read_text().count("TERMINATED") > 0 and min(under_way) > 3


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_same_results(folder: Path, expected: Path) -> None:
    for name in ("curves.csv", "episodes.csv", "summary.csv"):
        assert (folder / name).read_bytes() == (expected / name).read_bytes(), name
    trials = [pd.read_csv(place / "trials.csv").drop(columns="time_s") for place in (folder, expected)]
    pd.testing.assert_frame_equal(*trials)
    weights = [contents(place / "models") for place in (folder, expected)]
    assert len(weights[0]) == 6 and weights[0] == weights[1]
    assert (folder / "report.md").is_file()


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nothing_lost")
    (folder / "tiny.yaml").write_text(CONFIG)
    return folder


@pytest.fixture(scope="module")
def finished(workplace: Path) -> Path:
    """The results of a run that nothing disturbed."""
    with Command(workplace, "tune", "tiny.yaml", "--set", "output=whole") as run:
        assert run.end() == 0, run.errors
    assert starts(workplace / "whole" / "tiny", LONG[0]) == [1]
    return workplace / "whole" / "tiny"


@contextmanager
def under_way(workplace: Path, output: str, **environment: str) -> Iterator[tuple[Command, Path]]:
    """A run in `output` whose long trials have come part of their way."""
    folder = workplace / output / "tiny"
    with Command(workplace, "tune", "tiny.yaml", "--set", f"output={output}", **environment) as run:
        run.wait_until(lambda: is_under_way(folder))
        yield run, folder


def resume(folder: Path, *options: str) -> str:
    """Continue the run to its end; returns what it said on standard error."""
    with Command(folder.parent, "tune", "--resume", folder.name, *options) as run:
        assert run.end() == 0, run.errors
        return run.errors


@pytest.fixture(scope="module")
def killed(workplace: Path) -> Path:
    """The results folder of a run whose driver was killed."""
    with under_way(workplace, "killed") as (run, folder):
        ray_processes = [*run.descendants("gcs_server"), *run.descendants("raylet")]
        assert len(ray_processes) == 2
        run.process.kill()
        run.process.wait()
        _, alive = psutil.wait_procs(ray_processes, timeout=ANSWER_S)
        assert not alive
    return folder


def test_a_trial_process(workplace: Path, finished: Path) -> None:
    with under_way(workplace, "trial") as (run, folder):
        process_of(folder, LONG[0]).kill()
        assert run.end() == 0, run.errors
    (line,) = [line for line in run.errors.splitlines() if "goes on from its last checkpoint" in line]
    assert line.startswith(f"{LONG[0]}: failed (1 of at most 3 times), goes")
    assert starts(folder, LONG[0])[1] > 3
    assert starts(folder, LONG[1]) == [1]
    assert_same_results(folder, finished)


def test_a_trial_that_was_given_up(workplace: Path, finished: Path) -> None:
    """It goes on from its checkpoint when the run is continued."""
    command = [sys.executable, "-c", CRASHING, "tiny.yaml", "--set", "output=given_up"]
    done = subprocess.run(
        [*command, "--set", "resources.max_failures=1"],
        cwd=workplace,
        env={**os.environ, "PYTHONPATH": REPOSITORY, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    folder = workplace / "given_up" / "tiny"
    assert pd.read_csv(folder / "trials.csv").set_index("trial")["status"][LONG[0]] == "ERROR"
    assert starts(folder, LONG[0]) == [1]
    resume(folder)
    assert starts(folder, LONG[0]) == [1, 11]
    assert_same_results(folder, finished)


def test_a_worker_in_the_middle_of_an_evaluation(tmp_path: Path) -> None:
    arguments = ["--trace", "synthetic:vms=3000", "--servers", 3, "--episodes", 4000]
    arguments += ["--policy", "fgd", "--policy", "random", "--output"]
    with Command(tmp_path, "evaluate", *arguments, "plain", "--workers", 0) as run:
        assert run.end() == 0, run.errors
    with Command(tmp_path, "evaluate", *arguments, "disturbed", "--workers", 2) as run:
        victim = run.wait_until(lambda: run.descendants("ray::evaluate"))[0]
        victim.kill()
        victim.wait(ANSWER_S)
        assert run.process.poll() is None
        assert run.end() == 0, run.errors
    assert contents(tmp_path / "disturbed") == contents(tmp_path / "plain")


def test_a_node(workplace: Path, finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", REPOSITORY)  # the nodes' workers import the package
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        nodes = {
            node.all_processes["raylet"][0].process.pid: node
            for node in (cluster.add_node(), cluster.add_node())
        }
        with under_way(workplace, "node", RAY_ADDRESS=cluster.address) as (run, folder):
            ancestors = {process.pid for process in process_of(folder, LONG[0]).parents()}
            (raylet,) = ancestors & nodes.keys()
            cluster.remove_node(nodes[raylet], allow_graceful=False)
            assert run.end() == 0, run.errors
    finally:
        cluster.shutdown()
    assert f"{LONG[0]}: failed (1 of at most 3 times), goes on from its last checkpoint" in run.errors
    assert starts(folder, LONG[0])[1] > 3
    assert_same_results(folder, finished)


@pytest.mark.parametrize("shares", [(1,), (0, 0.4, 0.99)], ids=["whole", "cut"])
def test_the_driver(killed: Path, finished: Path, tmp_path: Path, shares: tuple[float, ...]) -> None:
    """And the folder is moved before the run is continued, and what Tune copies is cut to a share of it."""
    before = contents(killed)
    folder = tmp_path / "moved"
    shutil.copytree(killed, folder)
    copied = [*folder.glob("tune/*.*"), *folder.glob("tune/*/p*.*"), *folder.glob("tune/*/events.*")]
    assert {file.name.partition("-")[0] for file in copied} >= {"tuner.pkl", "experiment_state", "basic"}
    for file, share in zip(copied, itertools.cycle(shares), strict=False):
        os.truncate(file, int(file.stat().st_size * share))
    done = contents(folder / "tune" / SHORT)
    errors = resume(folder, "--trust")  # it is a copy
    assert contents(killed) == before
    # TensorBoard's events of the evaluation come in files of their own.
    assert done.items() <= contents(folder / "tune" / SHORT).items()
    assert "damaged" not in errors
    for trial in LONG:
        first, again = starts(folder, trial)
        assert first == 1 and again > 3
    assert_same_results(folder, finished)


def test_the_driver_and_then_checkpoints_are_lost(killed: Path, finished: Path, tmp_path: Path) -> None:
    """One is cut short, like the last result; the other was replaced before the driver noted that down."""
    folder = tmp_path / "tiny"
    shutil.copytree(killed, folder)
    done = contents(folder / "tune" / SHORT)
    for file in folder.glob(f"tune/{LONG[0]}/checkpoint_*/algorithm_state.pkl"):
        os.truncate(file, file.stat().st_size // 2)
    results_file = folder / "tune" / LONG[0] / "result.json"
    os.truncate(results_file, results_file.stat().st_size - 9)
    *others, newest = sorted(folder.glob(f"tune/{LONG[1]}/checkpoint_*"))
    for other in others:
        shutil.rmtree(other)
    following = f"checkpoint_{int(newest.name[-6:]) + 1:06}"
    newest.rename(newest.with_name(following))
    errors = resume(folder, "--trust")  # it is a copy
    assert "WARNING" not in errors
    for trial, what, origin in zip(
        LONG, ("is lost or damaged", "was replaced"), ("its beginning", following), strict=True
    ):
        (line,) = [line for line in errors.splitlines() if line.startswith(f"{trial}: checkpoint_")]
        assert what in line and line.endswith(f"goes on from {origin}")
    assert all(len(list(folder.glob(f"tune/{trial}/checkpoint_*"))) == 1 for trial in LONG)
    assert starts(folder, LONG[0]) == [1, 1]
    assert starts(folder, LONG[1])[1] > 3
    assert done.items() <= contents(folder / "tune" / SHORT).items()
    assert_same_results(folder, finished)


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize(
    ("told", "everyone"),
    [(signal.SIGTERM, False), (signal.SIGHUP, False), (signal.SIGTERM, True)],
    ids=["SIGTERM", "SIGHUP", "SIGTERM to all"],
)
def test_a_run_that_is_told_to_stop(
    workplace: Path, finished: Path, told: signal.Signals, everyone: bool
) -> None:
    """Alone as by Kubernetes, or with all processes of its Ray as by systemd."""
    output = f"{told.name}{everyone}"
    with under_way(workplace, output) as (run, folder):
        processes = psutil.Process(run.process.pid).children(recursive=True)
        assert len(processes) > 5
        for process in [run.process, *(processes if everyone else [])]:
            with suppress(psutil.Error):
                process.send_signal(told)
        assert run.end(ANSWER_S) == 128 + told, run.errors
        assert not list(filter(is_alive, processes))
    assert f"--resume {output}/tiny" in run.errors.splitlines()[-1]
    resume(folder)
    assert_same_results(folder, finished)


@pytest.mark.parametrize("part", ["gcs_server", "raylet"])
def test_the_head(workplace: Path, finished: Path, part: str) -> None:
    with under_way(workplace, part) as (run, folder):
        (victim,) = run.descendants(part)
        victim.kill()
        assert run.end(timeout=ANSWER_S) == 1, run.errors
    line = run.errors.splitlines()[-1]
    assert line.startswith("error: Ray's") and f"--resume {part}/tiny" in line
    resume(folder)
    assert_same_results(folder, finished)


def test_the_head_of_a_cluster_that_was_joined(
    workplace: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver gives its GCS half a minute to come back; the run is continued without the cluster."""
    monkeypatch.setenv("PYTHONPATH", REPOSITORY)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    address = cluster.address
    try:
        with under_way(workplace, "cluster", RAY_ADDRESS=address) as (run, folder):
            cluster.head_node.all_processes["gcs_server"][0].process.kill()
            assert run.end(timeout=ANSWER_S) == 1, run.errors
    finally:
        cluster.shutdown()
    line = run.errors.splitlines()[-1]
    assert line.startswith(f"error: the cluster's head, {address}, does not answer; what")
    assert line.endswith("--resume cluster/tiny continues")
    resume(folder)
    assert_same_results(folder, finished)
