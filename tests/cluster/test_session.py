"""A local Ray is reached from this machine only, needs no home folder, and leaves no process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from time_limits import COMMAND_S

pytestmark = pytest.mark.slow

SESSION = """
import json, time
import ray
from spane_rllib.cluster.session import ray_session
import psutil  # Ray brings it along

with ray_session(num_cpus=1, dashboard=True):
    assert ray.get(ray.remote(lambda: 5).remote()) == 5
    time.sleep(5)  # until the agents are up
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    addresses = {
        connection.laddr.ip
        for process in processes
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
alive = [one.name() for one in processes[1:] if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
print(json.dumps([len(processes), sorted(addresses), alive]))
"""


@pytest.mark.parametrize("home", [None, "/proc/none"])
def test_a_local_session(tmp_path: Path, home: str | None) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {"PYTHONPATH": str(Path(__file__).parents[2])} | ({"HOME": home} if home else {})
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SESSION],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
    )
    assert done.returncode == 0, done.stderr
    processes, addresses, alive = json.loads(done.stdout.splitlines()[-1])
    assert processes > 4
    assert {address.removeprefix("::ffff:") for address in addresses} <= {"127.0.0.1", "::1"}
    assert alive == []


WITHOUT_DASHBOARD = """
import sys
import ray
from spane_rllib.cluster.session import ray_session

with ray_session(num_cpus=1):
    assert ray.get(ray.remote(lambda: 5).remote()) == 5
print(sorted({"aiohttp", "grpc", "opencensus"} & sys.modules.keys()))
"""


def test_a_session_without_a_dashboard_imports_no_server() -> None:
    command = [sys.executable, "-W", "ignore", "-c", WITHOUT_DASHBOARD]
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_S)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
