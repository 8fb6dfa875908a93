"""Starting Ray, or joining the cluster the process is in."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch

from spane_rllib.core.errors import UserError, one_line
from spane_rllib.core.files import check_writable
from spane_rllib.core.progress import close_progress
from spane_rllib.core.signals import exit_code, listen, was_told_to_stop

# Small networks gain nothing from more threads, and trials share the cores.
_WORKER_ENVIRONMENT = {"OMP_NUM_THREADS": "1"}
_ATTEMPTS = 3
_NOTED_EVERY_S = 5.0
_ENDED_IN_S = 0.5
_KILLED_IN_S = 30.0  # at a low priority on a busy machine also the end of a killed process takes its time
_ASKED_EVERY_S = 1.0
_SIGNALS_AT_ONCE_S = 0.2
_HEAD_TIMEOUT_S = 30.0  # half of what Ray itself waits before it ends every process of the cluster
_OF_DASHBOARD = ("aiohttp", "aiohttp_cors", "grpc", "opencensus", "opentelemetry", "prometheus_client")

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
    processes = None
    if os.environ.get("RAY_ADDRESS"):
        context = ray.init(runtime_env={"env_vars": _WORKER_ENVIRONMENT}, log_to_driver=False)
        lost = _head_of(ray.get_runtime_context().gcs_address)
    else:
        os.environ.update(_WORKER_ENVIRONMENT)
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # Ray protects a local session by a token and says so at every start.
        logging.getLogger("ray._private.authentication.authentication_token_setup").setLevel(logging.ERROR)
        _find_token()
        context = _start(num_cpus, dashboard)
        processes = _Processes(ray._private.worker._global_node)
        lost = processes.lost
    listen()  # Ray has taken SIGTERM
    watcher = threading.Thread(target=_watch, args=(lost, ended, if_lost, processes), daemon=True)
    watcher.start()
    try:
        yield f"http://{context.dashboard_url}" if context.dashboard_url else None
    finally:
        ended.set()
        watcher.join()  # it does not return where it is about to end the process
        if processes is not None:
            processes.note()
        ray.shutdown()
        if processes is not None:
            processes.end()


def _start(num_cpus: int | None, dashboard: bool) -> Any:
    """A Ray of this process on the loopback address; a `UserError` where it does not come up."""
    import ray
    from ray._private import ray_constants

    # Without this every process of Ray would listen on all interfaces, and some of them ask for no token.
    before, name = ray_constants.ENABLE_RAY_CLUSTER, ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR
    ray_constants.ENABLE_RAY_CLUSTER, os.environ[name] = False, "0"
    try:
        for attempt in range(_ATTEMPTS):
            try:
                return _init_lightly(
                    # A stale address file of a killed cluster would be joined otherwise.
                    address="local",
                    num_cpus=num_cpus,
                    include_dashboard=dashboard,
                    dashboard_host="127.0.0.1",
                    log_to_driver=False,
                    logging_level="warning",
                )
            except Exception as error:  # Ray gives up after 30 s, by an exception without a type
                if "timed out" not in str(error):
                    raise
                ray.shutdown()
                if attempt == _ATTEMPTS - 1:
                    raise UserError(
                        f"Ray did not come up in {_ATTEMPTS} attempts ({one_line(str(error))[:100]}); is the "
                        "machine very busy? try again, or with fewer processes"
                    ) from error
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before
        del os.environ[name]


def _init_lightly(include_dashboard: bool, **arguments: Any) -> Any:
    """`ray.init` without the imports by which it looks, dashboard or not, whether one could be shown.

    They take 19 MB and half a second, and this process needs none of them; Ray's own processes do.
    """
    import ray
    from ray._private import utils

    look = "get_dashboard_dependency_error"
    if include_dashboard or not all(map(find_spec, _OF_DASHBOARD)) or not hasattr(utils, look):
        return ray.init(include_dashboard=include_dashboard, **arguments)
    with patch.object(utils, look, return_value=None):
        return ray.init(include_dashboard=False, **arguments)


def _find_token() -> None:
    """Make a token for this session alone where Ray could not keep one in the home folder."""
    home = Path(os.environ.get("HOME", "/")) / ".ray"
    if any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")):
        return
    if not (home / "auth_token").is_file():
        try:
            check_writable(home)
        except UserError:
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


class _Processes:
    """The processes of the local Ray whose node is `node`."""

    def __init__(self, node: Any) -> None:
        self._node = node
        self._noted: set[Any] = set()
        self._next = 0.0
        self.note()

    def lost(self) -> str:
        """Whether a process has died without which nothing goes on."""
        if time.monotonic() > self._next:
            self.note()
        dead = {name for name, _ in self._node.dead_processes()} & {"gcs_server", "raylet"}
        return f"Ray's {min(dead)} has died" if dead else ""

    def note(self) -> None:
        """Look for the processes there are: when the raylet is dead, nothing tells which ones were its."""
        import psutil  # type: ignore[import-untyped,unused-ignore]  # Ray brings it along

        self._next = time.monotonic() + _NOTED_EVERY_S
        for kind in list(self._node.all_processes.values()):
            for info in kind:
                with suppress(psutil.Error):
                    process = psutil.Process(info.process.pid)
                    self._noted |= {process, *process.children(recursive=True)}

    def end(self) -> None:
        """Wait for the processes to end, and kill those that take their time: agents live on for a minute."""
        import psutil

        _, alive = psutil.wait_procs([one for one in self._noted if one.is_running()], timeout=_ENDED_IN_S)
        for process in alive:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(alive, timeout=_KILLED_IN_S)


def _head_of(address: str) -> Lost:
    """Whether the GCS at `address`, HOST:PORT, has not accepted a connection for `_HEAD_TIMEOUT_S`."""
    host, _, port = address.rpartition(":")
    answered = asked = time.monotonic()

    def lost() -> str:
        nonlocal answered, asked
        if time.monotonic() - asked < _ASKED_EVERY_S:
            return ""
        asked = time.monotonic()
        with suppress(OSError), socket.create_connection((host.strip("[]"), int(port)), timeout=5):
            answered = time.monotonic()
        silent = time.monotonic() - answered
        return f"the cluster's head, {address}, does not answer" if silent > _HEAD_TIMEOUT_S else ""

    return lost


def _watch(lost: Lost, ended: threading.Event, if_lost: str, processes: _Processes | None) -> None:
    """End this process as soon as `lost` has a reason why nothing goes on."""
    while not ended.wait(0.1):
        if not (reason := lost()) or ended.is_set():
            continue
        time.sleep(_SIGNALS_AT_ONCE_S)
        # systemd and terminals send a signal to all processes at once, Ray's among them.
        why = "interrupted" if was_told_to_stop() else f"error: {reason}"
        code = exit_code(1)
        close_progress()
        print(f"{why}; {if_lost}", file=sys.stderr, flush=True)
        null = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):  # what other threads print now is about Ray's end
            os.dup2(null, stream)
        if processes is not None:
            processes.end()
        os._exit(code)
