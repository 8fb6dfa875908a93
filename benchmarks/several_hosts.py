"""A head and two workers as separate hosts; one worker is cut off in the middle of an experiment.

    sudo .venv/bin/python -m benchmarks.several_hosts [--keep FOLDER]

Each host is a network namespace with its own address and its own Ray directory, joined by a bridge in a
fourth namespace; a folder stands for shared storage. The same reduced `quick` preset is submitted three times
through the jobs API, with token authentication, after a short one to warm up:

- `two`: on two workers of one core each;
- `cut`: on two workers, one of which loses its network link when a third of the training is done;
- `one`: on the worker that is left.

Prints the times, the scaling efficiency from one worker to two, how busy the workers were with trials, and
whether all three made the same episodes.
Linux, root and iproute2 are needed. Nothing outside the namespaces is changed.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

REPOSITORY = Path(__file__).resolve().parent.parent
RAY = str(Path(sys.executable).with_name("ray"))
NETWORK = "10.231.77"
GCS_PORT = 6379
DASHBOARD = "http://127.0.0.1:8265"
ASK = """
import os, pathlib, sys, urllib.request
token = pathlib.Path(os.environ["RAY_AUTH_TOKEN_PATH"]).read_text()
request = urllib.request.Request(sys.argv[1], headers={"Authorization": f"Bearer {token}"})
print(urllib.request.urlopen(request, timeout=20).read().decode())
"""
OBJECT_STORE_BYTES = 200_000_000
JOB_TIMEOUT_S = 1200
NODE_TIMEOUT_S = 120
TRIALS, STEPS = 6, 2000
OVERRIDES = (
    "trace.source=synthetic:vms=20000",
    *(f"methods.{method}.trials=2" for method in ("spane", "mlp", "mlp_aug")),
    f"training.gradient_steps={STEPS}",
    "validation.every=100",
    "resources.checkpoint_every=1",
    "resources.cpus_per_trial=1",
    "evaluation.top_k=1",
    "evaluation.episodes=200",
)


def command(*arguments: object, check: bool = True) -> str:
    result = subprocess.run([str(a) for a in arguments], capture_output=True, text=True, timeout=60)
    if check and result.returncode:
        raise SystemExit(f"{' '.join(map(str, arguments))}: {result.stderr.strip()}")
    return result.stdout


@dataclass(frozen=True)
class Host:
    """A network namespace with one address on the bridge."""

    name: str
    address: str
    directory: Path
    switch: str

    @property
    def port(self) -> str:
        """The bridge's end of the link."""
        return f"to-{self.directory.name}"

    def start(self, environment: Mapping[str, str], *arguments: object) -> subprocess.Popen[bytes]:
        """Start a program on this host; it logs to `<directory>.log`."""
        with self.directory.with_suffix(".log").open("ab") as log:
            return subprocess.Popen(
                ["ip", "netns", "exec", self.name, *map(str, arguments)],
                cwd=REPOSITORY,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def cut_off(self) -> None:
        """Pull the cable out, on the side of the bridge."""
        command("ip", "-n", self.switch, "link", "set", self.port, "down")

    def kill(self) -> None:
        """Kill the processes of this host, and only those."""
        for _ in range(20):
            pids = [int(pid) for pid in command("ip", "netns", "pids", self.name, check=False).split()]
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if not pids:
                return
            time.sleep(0.2)


@contextmanager
def hosts(names: tuple[str, ...], folder: Path) -> Iterator[list[Host]]:
    """Hosts on a network of their own; at the end all their processes are killed and the network is gone."""
    prefix = f"hosts{os.getpid()}"
    switch = f"{prefix}-switch"
    with ExitStack() as stack:

        def add_namespace(name: str) -> None:
            command("ip", "netns", "add", name)
            stack.callback(command, "ip", "netns", "delete", name, check=False)
            command("ip", "-n", name, "link", "set", "lo", "up")

        add_namespace(switch)
        command("ip", "-n", switch, "link", "add", "bridge", "type", "bridge")
        command("ip", "-n", switch, "link", "set", "bridge", "up")
        made = []
        for number, name in enumerate(names, start=1):
            host = Host(f"{prefix}-{name}", f"{NETWORK}.{number}", folder / name, switch)
            add_namespace(host.name)
            stack.callback(host.kill)
            command(
                *("ip", "-n", host.name, "link", "add", "eth0", "type", "veth"),
                *("peer", "name", host.port, "netns", switch),
            )
            command("ip", "-n", host.name, "address", "add", f"{host.address}/24", "dev", "eth0")
            command("ip", "-n", host.name, "link", "set", "eth0", "up")
            command("ip", "-n", switch, "link", "set", host.port, "master", "bridge", "up")
            made.append(host)
        yield made


class RayCluster:
    """Ray on `hosts`: the first is the head and computes nothing, the others have one core each."""

    def __init__(self, members: list[Host], folder: Path) -> None:
        self.head, *self.workers = members
        token = folder / "token"
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32))
        self._environment = {
            "HOME": os.environ["HOME"],
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(REPOSITORY),  # as if the package were installed on every host
        }
        self._head_start = self._start(
            self.head, "--head", f"--port={GCS_PORT}", "--num-cpus=0", "--dashboard-host=127.0.0.1"
        )
        self._wait_for_nodes(1)
        for worker in self.workers:
            self._start(worker, f"--address={self.head.address}:{GCS_PORT}", "--num-cpus=1")
        self._wait_for_nodes(len(members))

    def _start(self, host: Host, *arguments: str) -> subprocess.Popen[bytes]:
        return host.start(
            self._environment,
            *(RAY, "start", "--block", "--disable-usage-stats", f"--node-ip-address={host.address}"),
            *(f"--temp-dir={host.directory}", f"--object-store-memory={OBJECT_STORE_BYTES}", *arguments),
        )

    def on_head(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a program on the head to its end."""
        return subprocess.run(
            ["ip", "netns", "exec", self.head.name, *arguments],
            cwd=REPOSITORY,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=JOB_TIMEOUT_S,
        )

    def ask(self, path: str) -> Any:
        """What the head's dashboard answers; None while it does not."""
        # Without importing ray, which takes more of the processor than the trials can spare.
        result = self.on_head(sys.executable, "-c", ASK, f"{DASHBOARD}{path}")
        return json.loads(result.stdout) if result.returncode == 0 else None

    def alive_nodes(self) -> int:
        """Nodes that the head believes in."""
        answer = self.ask("/nodes?view=summary")
        nodes = answer["data"]["summary"] if answer else []
        return sum(node["raylet"]["state"] == "ALIVE" for node in nodes)

    def _wait_for_nodes(self, count: int) -> None:
        deadline = time.monotonic() + NODE_TIMEOUT_S
        while self.alive_nodes() != count:
            if time.monotonic() > deadline or self._head_start.poll() is not None:
                raise SystemExit(f"Ray did not come up with {count} nodes; see {self.head.directory}.log")
            time.sleep(1)

    def submit(self, name: str, storage: Path, extra: Sequence[str]) -> None:
        """Submit the experiment `name` and return at once."""
        overrides = [part for override in (*OVERRIDES, *extra) for part in ("--set", override)]
        result = self.on_head(
            *(RAY, "job", "submit", "--address", DASHBOARD, "--submission-id", name, "--no-wait", "--"),
            *("python", "-m", "spane_rllib.tune", "quick"),
            *("--set", f"name={name}", "--set", f"output={storage}", *overrides),
        )
        if result.returncode:
            raise SystemExit(f"ray job submit: {result.stdout}{result.stderr}")

    def job_status(self, name: str) -> str:
        """PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED; "" where the head does not answer."""
        answer = self.ask(f"/api/jobs/{name}")
        return str(answer["status"]) if answer else ""

    def logs(self, name: str) -> str:
        """The end of what the job has printed."""
        return str(self.ask(f"/api/jobs/{name}/logs")["logs"])[-3000:]


def share_trained(tune: Path) -> float:
    """Gradient steps that the trials have reported so far, as a share of all."""
    steps = 0
    for file in tune.glob("*/result.json"):
        lines = file.read_text().splitlines()
        steps += json.loads(lines[-1])["gradient_steps"] if lines else 0
    return steps / (TRIALS * STEPS)


def run(
    cluster: RayCluster, name: str, storage: Path, extra: Sequence[str] = (), cut: Host | None = None
) -> dict[str, float]:
    """Run one experiment to its end, cutting `cut` off on the way; returns its stages in seconds.

    Also "job", all seconds, and "load", the machine's mean load of the last five minutes.
    """
    started = time.monotonic()
    cluster.submit(name, storage, extra)
    nodes = cluster.alive_nodes()
    cut_at: float | None = None
    lost_at: float | None = None
    while (status := cluster.job_status(name)) in ("RUNNING", "PENDING", ""):
        now = time.monotonic()
        if now - started > JOB_TIMEOUT_S:
            raise SystemExit(f"{name} did not end in {JOB_TIMEOUT_S} s:\n{cluster.logs(name)}")
        if cut and cut_at is None and share_trained(storage / name / "tune") > 1 / 3:
            cut.cut_off()
            cut_at = now
            print(f"{name}: {cut.name} cut off after {now - started:.0f} s", flush=True)
        if cut_at and lost_at is None and cluster.alive_nodes() < nodes:
            lost_at = now
            print(f"{name}: Ray gave it up {now - cut_at:.0f} s later", flush=True)
        time.sleep(1)
    if status != "SUCCEEDED":
        raise SystemExit(f"{name}: {status}\n{cluster.logs(name)}")
    if cut and cut_at is None:
        raise SystemExit(f"{name} ended before the worker was cut off")
    stages: dict[str, float] = json.loads((storage / name / "stages.json").read_text())
    return {"load": os.getloadavg()[1], "job": time.monotonic() - started} | stages


def read_trials(results: Path) -> pd.DataFrame:
    """The table of trials; stops unless every one ended and the report was written."""
    trials = pd.read_csv(results / "trials.csv")
    if not (trials["status"] == "TERMINATED").all() or not (results / "report.md").is_file():
        raise SystemExit(f"{results} is not complete:\n{trials[['trial', 'status', 'gradient_steps']]}")
    return trials


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="keep results and logs in this new folder"
    )
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # leave through the clean-up
    with ExitStack() as stack:
        if arguments.keep:
            folder = arguments.keep.resolve()
            folder.mkdir(parents=True)
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hosts")))
        storage = folder / "storage"
        members = stack.enter_context(hosts(("head", "w1", "w2"), folder))
        cluster = RayCluster(members, folder)
        # Reading libraries for the first time would count against the first of the measured runs.
        run(cluster, "warm-up", storage, ["training.gradient_steps=100", "evaluation.episodes=20"])
        times = {
            "two": run(cluster, "two", storage),
            "cut": run(cluster, "cut", storage, cut=members[-1]),
            "one": run(cluster, "one", storage),
        }
        trials = {name: read_trials(storage / name) for name in times}
        same = len({(storage / name / "episodes.csv").read_bytes() for name in times}) == 1
    print(pd.DataFrame(times).T.round(0).astype(int).to_string())
    one, two = times["one"], times["two"]
    print(f"scaling efficiency of training, 1 to 2 workers: {one['training'] / two['training'] / 2:.0%}")
    for name, workers in (("one", 1), ("two", 2)):
        busy = trials[name]["time_s"].sum() / workers / times[name]["training"]
        print(f"share of the training time in which a worker had a trial, {workers} workers: {busy:.0%}")
    print(f"all three wrote the same episodes.csv: {'yes' if same else 'no'}")


if __name__ == "__main__":
    main()
