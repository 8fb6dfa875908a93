"""`python -m spane_rllib.serve`."""

import http.client
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spane_rllib.core.errors import UserError
from spane_rllib.serve import main

SERVERS = [[[40, 90], [12, 20]], [[3, 9], [64, 128]]]
GROUPS = """
server_groups:
  - {count: 1, node_cpu: 40, node_memory: 90}
  - {count: 1, node_cpu: 64, node_memory: 128}
"""


def test_bad_arguments(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="frist-fit"):
        main(["frist-fit"])
    (tmp_path / "cluster.yaml").write_text(GROUPS)
    (tmp_path / "bad.yaml").write_text("server_group: []")
    for arguments, message in (
        (
            [str(tmp_path / "cluster.yaml"), "--node-cpu", "8"],
            "--node-cpu: not allowed with argument --cluster",
        ),
        ([str(tmp_path / "bad.yaml")], r"bad\.yaml: server_group: unknown key; did you mean server_groups"),
    ):
        with pytest.raises(UserError, match=message):
            main(["first-fit", "--cluster", *arguments])
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UserError, match="cannot listen at"):
        pytest.importorskip("ray.serve", reason="needs the extra `serve`", exc_type=ImportError)
        main(["first-fit", "--port", str(taken.getsockname()[1])])


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A server of two replicas, of a cluster of unlike servers."""
    pytest.importorskip("ray.serve", reason="needs the extra `serve`", exc_type=ImportError)
    command = [sys.executable, "-m", "spane_rllib.serve", "first-fit", "--port", "0"]
    cluster = tmp_path_factory.mktemp("serve") / "cluster.yaml"
    cluster.write_text(GROUPS)
    command += ["--replicas", "2", "--max-body", "1", "--cluster", str(cluster)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            yield int(line.partition("/place")[0].rpartition(":")[2])
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130


def ask(port: int, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, body)
    response = connection.getresponse()
    return response.status, response.read()


@pytest.mark.slow
def test_the_server(port: int) -> None:
    place = json.dumps({"servers": SERVERS, "vm": {"cpu": 4, "memory": 8}})
    for _ in range(20):
        assert ask(port, "POST", "/place", place) == (200, b'{"server": 0, "node": 0}')
    large = json.dumps({"servers": SERVERS, "vm": {"cpu": 60, "memory": 8}})
    assert ask(port, "POST", "/place", large) == (200, b'{"server": 1, "node": 1}')
    for body, text in (
        (b"{", b"is not JSON"),
        (b" " * 2**21, b"larger than the 1,048,576 bytes"),
        (iter([b" " * 2**19] * 4), b"larger than the 1,048,576 bytes"),  # without a declared length
    ):
        status, answer = ask(port, "POST", "/place", body)
        assert status == 400 and text in json.loads(answer)["error"].encode()
    assert ask(port, "GET", "/health")[0] == 200
    # Replicas report once a second, and when they are asked.
    for _ in range(100):
        status, metrics = ask(port, "GET", "/metrics")
        if b'spane_rllib_requests_total{path="/place",status="200"} 21' in metrics:
            break
    assert status == 200 and b'status="200"} 21' in metrics
