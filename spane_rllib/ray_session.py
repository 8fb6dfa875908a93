"""Starting Ray, or joining the cluster the process is in."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

# Small networks gain nothing from more threads, and trials share the cores.
_WORKER_ENVIRONMENT = {"OMP_NUM_THREADS": "1"}


@contextmanager
def ray_session(num_cpus: int | None = None, dashboard: bool = False) -> Iterator[str | None]:
    """Inside the block Ray is up; yields the URL of its dashboard, if there is one.

    Joins the running cluster where there is one (a job started by `ray job submit`, or RAY_ADDRESS is set) or
    a session this process already has; else starts a local one with `num_cpus` (default: all cores) and stops
    it at the end.
    """
    import ray

    if ray.is_initialized():
        yield None
        return
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
    try:
        yield f"http://{context.dashboard_url}" if context.dashboard_url else None
    finally:
        ray.shutdown()
