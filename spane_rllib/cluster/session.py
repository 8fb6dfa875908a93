"""Starting Ray, or joining the cluster the process is in."""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

# Small networks gain nothing from more threads, and trials share the cores.
_WORKER_ENVIRONMENT = {"OMP_NUM_THREADS": "1"}
_HEAD_TIMEOUT_S = 30.0  # half of what Ray itself waits before it ends every process of the cluster

Lost = Callable[[], str]  # why nothing goes on any more, or nothing


@contextmanager
def ray_session(
    num_cpus: int | None = None, dashboard: bool = False, if_lost: str = "start the command again"
) -> Iterator[str | None]:
    """Inside the block Ray is up; yields the URL of its dashboard, if there is one.

    Joins the running cluster where there is one (a job started by `ray job submit`, or RAY_ADDRESS is set) or
    a session this process already has; else starts a local one with `num_cpus` (default: all cores) and stops
    it at the end.

    When the GCS or the raylet of a local Ray is killed, or the head of a joined cluster does not answer for
    half a minute, the process ends with exit code 1 and one line that closes with `if_lost`: no call to Ray
    would return any more.
    """
    import ray

    if ray.is_initialized():
        yield None
        return
    ended = threading.Event()
    if os.environ.get("RAY_ADDRESS"):
        context = ray.init(runtime_env={"env_vars": _WORKER_ENVIRONMENT}, log_to_driver=False)
        lost = _head_of(ray.get_runtime_context().gcs_address)
    else:
        os.environ.update(_WORKER_ENVIRONMENT)
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # Ray protects a local session by a token and says so at every start.
        logging.getLogger("ray._private.authentication.authentication_token_setup").setLevel(logging.ERROR)
        # "local", because a stale address file of a killed cluster would be joined otherwise.
        context = ray.init(
            address="local",
            num_cpus=num_cpus,
            include_dashboard=dashboard,
            dashboard_host="127.0.0.1",
            log_to_driver=False,
            logging_level="warning",
        )
        lost = _processes_of(ray._private.worker._global_node)
    threading.Thread(target=_watch, args=(lost, ended, if_lost), daemon=True).start()
    try:
        yield f"http://{context.dashboard_url}" if context.dashboard_url else None
    finally:
        ended.set()
        ray.shutdown()


def _processes_of(node: Any) -> Lost:
    """Whether a process of the local Ray has died without which nothing goes on."""

    def lost() -> str:
        dead = {name for name, _ in node.dead_processes()} & {"gcs_server", "raylet"}
        return f"Ray's {min(dead)} has died" if dead else ""

    return lost


def _head_of(address: str) -> Lost:
    """Whether the GCS at `address`, HOST:PORT, has not accepted a connection for `_HEAD_TIMEOUT_S`."""
    host, _, port = address.rpartition(":")
    answered = time.monotonic()

    def lost() -> str:
        nonlocal answered
        with suppress(OSError), socket.create_connection((host.strip("[]"), int(port)), timeout=5):
            answered = time.monotonic()
        silent = time.monotonic() - answered
        time.sleep(1)
        return f"the cluster's head, {address}, does not answer" if silent > _HEAD_TIMEOUT_S else ""

    return lost


def _watch(lost: Lost, ended: threading.Event, if_lost: str) -> None:
    """End this process as soon as `lost` has a reason why nothing goes on."""
    while not ended.wait(0.1):
        if (reason := lost()) and not ended.is_set():
            print(f"error: {reason}; {if_lost}", file=sys.stderr, flush=True)
            os._exit(1)
