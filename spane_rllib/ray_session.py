"""Starting Ray, or joining the cluster the process is in."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Small networks gain nothing from more threads, and trials share the cores.
_WORKER_ENVIRONMENT = {"OMP_NUM_THREADS": "1"}


@contextmanager
def ray_session(
    num_cpus: int | None = None, dashboard: bool = False, if_lost: str = "start the command again"
) -> Iterator[str | None]:
    """Inside the block Ray is up; yields the URL of its dashboard, if there is one.

    Joins the running cluster where there is one (a job started by `ray job submit`, or RAY_ADDRESS is set) or
    a session this process already has; else starts a local one with `num_cpus` (default: all cores) and stops
    it at the end.

    When a local Ray is killed, the process ends with exit code 1 and one line that closes with `if_lost`: no
    call to Ray would return any more.
    """
    import ray

    if ray.is_initialized():
        yield None
        return
    ended = threading.Event()
    if os.environ.get("RAY_ADDRESS"):
        context = ray.init(runtime_env={"env_vars": _WORKER_ENVIRONMENT}, log_to_driver=False)
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
        node = ray._private.worker._global_node
        threading.Thread(target=_watch, args=(node, ended, if_lost), daemon=True).start()
    try:
        yield f"http://{context.dashboard_url}" if context.dashboard_url else None
    finally:
        ended.set()
        ray.shutdown()


def _watch(node: Any, ended: threading.Event, if_lost: str) -> None:
    """End this process when a part of the local Ray is killed without which nothing goes on."""
    while not ended.wait(0.1):
        for name, _ in node.dead_processes():
            if name in ("gcs_server", "raylet") and not ended.is_set():
                print(f"error: Ray's {name} has died; {if_lost}", file=sys.stderr, flush=True)
                os._exit(1)
