"""`python -m benchmarks.serving`: requests per second and their delay, of a served policy.

Clients send `POST /place` one after the other, each over a connection of its own, from a process beside the
server: on few cores they compete with it.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from urllib.parse import urlsplit

import numpy as np

from benchmarks.measuring import cores, in_child
from spane_rllib.core.console import format_table, run_command


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--policy", default="keep-64", help="(keep-64)")
    parser.add_argument("--servers", type=int, default=100, help="servers of a request (100)")
    parser.add_argument("--clients", type=int, default=8, help="connections (8)")
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement (10)")
    parser.add_argument("--replicas", type=int, action="append", help="repeatable (1 and 2)")
    arguments = parser.parse_args(argv)
    rows = [_measure(arguments, replicas) for replicas in arguments.replicas or (1, 2)]
    print(
        f"{arguments.policy}, {arguments.servers} servers, {arguments.clients} clients, {len(cores())} cores"
    )
    print(format_table(("replicas", "requests/s", "median, ms", "p99, ms"), rows))
    return 0


def _measure(arguments: argparse.Namespace, replicas: int) -> tuple[float, ...]:
    from spane_rllib.cluster.serving import served
    from spane_rllib.problems.vm_scheduling.serving.application import load_application
    from spane_rllib.problems.vm_scheduling.serving.counters import metrics_text

    make = partial(load_application, arguments.policy)
    listen = {"host": "127.0.0.1", "port": 0, "max_body": 2**25}
    with served(make, metrics_text, replicas=replicas, **listen) as address:
        load = (address, arguments.servers, arguments.clients)
        in_child(_delays, *load, min(2.0, arguments.seconds))
        delays = in_child(_delays, *load, arguments.seconds)
    median, late = np.percentile(delays, (50, 99)) * 1e3
    return replicas, len(delays) / arguments.seconds, float(median), float(late)


def _delays(address: str, servers: int, clients: int, seconds: float) -> list[float]:
    """Seconds of every request within `seconds`."""
    body = json.dumps({"servers": [[[20, 45], [11, 30]]] * servers, "vm": {"cpu": 4, "memory": 8}})
    end = time.monotonic() + seconds

    def client(_: int) -> list[float]:
        connection = http.client.HTTPConnection(urlsplit(address).netloc)
        delays = []
        while (started := time.monotonic()) < end:
            connection.request("POST", "/place", body)
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                raise RuntimeError(f"status {response.status}")
            delays.append(time.monotonic() - started)
        return delays

    with ThreadPoolExecutor(clients) as pool:
        return [delay for delays in pool.map(client, range(clients)) for delay in delays]


if __name__ == "__main__":
    sys.exit(run_command(main))
