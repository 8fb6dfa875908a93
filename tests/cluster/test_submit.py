"""`python -m spane_rllib.submit` against a real Ray head in token mode."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
from test_evaluation_jobs import write_model
from time_limits import ANSWER_S, COMMAND_S

from spane_rllib.core.errors import UserError
from spane_rllib.submit import main

ROOT = Path(__file__).resolve().parents[2]
TRACE = "synthetic:vms=3000,seed=0"
LONG = ("--trace", "synthetic:vms=8000,seed=0")
EXPERIMENT = """
name: tiny
trace: {source: synthetic, synthetic_vms: 3000}
cluster: {servers: 2}
training: {gradient_steps: 20, warmup_episodes: 4, lanes: 4, batch_size: 32, replay_capacity: 5000, n_step: 5}
validation: {episodes: 4, every: 10}
methods:
  spane: {network: spane, trials: 2, training: {learning_rate: {loguniform: [0.001, 0.01]}}}
evaluation: {episodes: 4, heuristics: [first-fit]}
"""


class Head:
    """A Ray head of two cores on free ports of its own, and commands run against it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        port, dashboard, client, agent = _free_ports(4)
        self.address = f"http://127.0.0.1:{dashboard}"
        self.token = secrets.token_hex(32)
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "SPANE_"))}
        self.environment = inherited | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
            "HOME": str(folder),  # a token file of the user is none of our business
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self.token,
            "OMP_NUM_THREADS": "1",
        }
        ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus=2"]
        ports = [f"--port={port}", f"--dashboard-port={dashboard}", f"--ray-client-server-port={client}"]
        others = [f"--dashboard-agent-listen-port={agent}", "--min-worker-port=0", "--max-worker-port=0"]
        local = ["--dashboard-host=127.0.0.1", "--node-ip-address=127.0.0.1", f"--temp-dir={folder / 't'}"]
        self.log = (folder / "head.log").open("w")
        self.process = subprocess.Popen(
            [*ray, *ports, *others, *local, "--disable-usage-stats"],
            env=self.environment,
            cwd=folder,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def jobs(self) -> list[dict[str, Any]]:
        """What the dashboard shows."""
        headers = {"Authorization": f"Bearer {self.token}"}
        response = requests.get(f"{self.address}/api/jobs/", headers=headers, timeout=ANSWER_S)
        response.raise_for_status()
        return [job for job in response.json() if job["submission_id"]]

    def wait_until_up(self) -> None:
        deadline = time.monotonic() + ANSWER_S
        while True:
            try:
                self.jobs()
                return
            except requests.RequestException:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise RuntimeError((self.folder / "head.log").read_text()) from None
                time.sleep(0.5)

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.log.close()

    def start(
        self, *words: str | Path, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", *map(str, words)],
            env=self.environment | dict(environment or {}),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A shell's background jobs ignore Ctrl-C, and so would the command if the tests run in one.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def run(self, *words: str | Path, environment: Mapping[str, str] | None = None) -> tuple[int, str, str]:
        process = self.start(*words, environment=environment)
        output, errors = process.communicate(timeout=COMMAND_S)
        return process.returncode, output, errors

    def submit(self, *words: str | Path, **keywords: Any) -> tuple[int, str, str]:
        return self.run("spane_rllib.submit", *words, "--address", self.address, **keywords)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    # Directly in the temporary folder: Ray's sockets lie below, and their paths must be short.
    folder = Path(tempfile.mkdtemp(prefix="head-"))
    head = Head(folder)
    try:
        head.wait_until_up()
        yield head
    finally:
        head.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_a_cluster_that_asks_for_a_token_is_explained(head: Head) -> None:
    for environment in ({"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_TOKEN": "0" * 64}):
        code, _, errors = head.submit("tune", "quick", environment=environment)
        assert code == 2, errors
        assert "the cluster asks for a token; set RAY_AUTH_MODE=token" in errors.splitlines()[-1]
        assert "Traceback" not in errors
    assert head.jobs() == []


@pytest.mark.slow
def test_the_main_job_runs_to_its_report(head: Head) -> None:
    (head.folder / "tiny.yaml").write_text(EXPERIMENT)
    code, output, errors = head.submit("tune", "tiny.yaml", "--installed", "--set", "seed=7")
    assert code == 0, errors + output
    assert "best validation" in output
    results = head.folder / "results" / "tiny"  # relative output: below the folder of the command
    assert (results / "report.md").is_file()
    [job] = head.jobs()
    assert job["submission_id"].startswith("tune-tiny-")
    metadata = job["metadata"]
    assert metadata.pop("config_sha256")
    assert metadata == {
        "command": "tune",
        "experiment": "tiny",
        "problem": "vm_scheduling",
        "results": str(results),
    }


@pytest.mark.slow
def test_a_failing_job_shows_its_log_and_its_status(head: Head) -> None:
    """With uploaded sources: the job refuses a trace that the nodes cannot see."""
    code, output, errors = head.submit("tune", "quick", "--set", "name=none", "--trace", "/absent/trace.csv")
    assert code == 1
    assert "no trace at /absent/trace.csv" in output
    assert "upload: " in errors
    assert not (head.folder / "results" / "none" / "tune").exists()


@pytest.mark.slow
def test_ctrl_c_leaves_the_job_running(head: Head) -> None:
    command = [
        "tune",
        "tiny.yaml",
        "--installed",
        "--set",
        "name=long",
        "--set",
        "training.gradient_steps=100000",
    ]
    (head.folder / "tiny.yaml").write_text(EXPERIMENT)
    process = head.start("spane_rllib.submit", *command, "--address", head.address)
    assert process.stderr is not None and process.stdout is not None
    process.stdout.readline()  # the job's log has begun
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=ANSWER_S)
    assert process.returncode == 130, errors
    [job] = [job for job in head.jobs() if job["submission_id"].startswith("tune-long-")]
    assert job["status"] in ("PENDING", "RUNNING")
    for verb in ("logs --follow", "stop"):
        assert f"ray job {verb} --address {head.address} {job['submission_id']}" in errors
    code, _, _ = head.run(
        "ray.scripts.scripts", "job", "stop", "--address", head.address, job["submission_id"]
    )
    assert code == 0


@pytest.mark.slow
def test_wait_times_by_jobs_equal_those_of_evaluate(head: Head) -> None:
    write_model(head.folder / "models" / "trained")
    options = ["--trace", TRACE, "--episodes", "5", "--seed", "3", "--servers", "2", "--servers", "1"]
    command = [
        "wait-time",
        "models/trained",
        "--heuristics",
        "random,first-fit",
        "--output",
        "parts-of",
        *options,
    ]
    code, output, errors = head.submit(*command, "--installed", "--parallel", "2")
    assert code == 0, errors
    policies = [word for name in ("models/trained", "random", "first-fit") for word in ("--policy", name)]
    code, expected, errors = head.run("spane_rllib.evaluate", *policies, *options, "--output", "plain")
    assert code == 0, errors
    assert output == expected
    for name in ("episodes.csv", "summary.csv"):
        assert (head.folder / "parts-of" / name).read_bytes() == (head.folder / "plain" / name).read_bytes()
    jobs = [job for job in head.jobs() if job["submission_id"].startswith("wait-time-")]
    assert sorted(job["metadata"]["model"] for job in jobs) == ["heuristics", "models/trained"]
    for job in jobs:
        assert len(job["metadata"]["data_sha256"]) == 64
        assert job["metadata"]["episodes"] == "5; starts from the test split; seed 3"
        assert job["metadata"]["servers"] == "2,1"

    code, again, errors = head.submit(*command, "--installed")
    assert (code, again) == (0, expected), errors
    assert sum(job["submission_id"].startswith("wait-time-") for job in head.jobs()) == len(jobs)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tune", "quikc"], "no such preset"),
        (["tune", "--set", "nonsense=1"], "nonsense: unknown key"),
        (["tune", "--resume", "absent"], "no experiment there"),
        (["tune", "quick", "--resume", "absent"], "leave out CONFIG"),
        (["tune", "--address", "127.0.0.1:8265"], "give the URL of the Ray dashboard"),
        (["tune", "--address", "http://127.0.0.1:1"], "no Ray dashboard answers at http://127.0.0.1:1"),
        (["wait-time", "m", "--output", "o", "--heuristics", "worst"], "'worst' is not a heuristic"),
        (
            ["wait-time", "m", "--output", "o", "--parallel", "0"],
            "argument --parallel: must be a whole number from 1",
        ),
        (
            ["wait-time", "m", "--output", "o", "--retries", "-1"],
            "argument --retries: must be a whole number from 0",
        ),
        (["wait-time", "m", "--output", "o", "--trace", "/absent"], "no trace at /absent"),
        (["wait-time", "m", "--output", "o", "--trace", TRACE], "policy 'm': neither"),
        (["evaluate", "m", "--output", "o", "--trace", TRACE], "policy 'm': neither"),
        (["evaluate", "m", "--output", "o", "--published-table", *LONG], "say themselves who plays"),
        (["evaluate", "--output", "o"], "arguments are required: MODEL; see .* evaluate --help"),
        (["evaluate", "m"], "arguments are required: --output"),
        (["tune", "quick", "more"], "unrecognized arguments: more; see .*submit tune --help"),
        (["tune", "--installed", "--working-dir", "."], "not allowed with argument --installed"),
        (["serve"], "invalid choice: 'serve'"),
        ([], "arguments are required: COMMAND; see python -m spane_rllib.submit --help"),
    ],
)
def test_bad_input_is_refused_before_anything_is_submitted(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message) as caught:
        main(arguments)
    assert len(str(caught.value).splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_help_does_not_import_ray() -> None:
    code = (
        "import sys; from spane_rllib.submit import main\n"
        "try: main(['tune', '--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'ray', 'torch', 'pandas'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
