"""An application behind HTTP, as replicas of Ray Serve."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from spane_rllib.cluster.session import ray_session
from spane_rllib.core.errors import UserError

METRICS = "/metrics"
_TOTAL = "spane_rllib_serving_total"
_REPORT_S = 1.0


class Answering(Protocol):
    """What is served: see `problems.vm_scheduling.serving.application`."""

    counters: Any

    def answer(self, method: str, path: str, body: bytes) -> Any:
        """Something with `status`, `body` and `content_type`."""
        ...


class _Total:
    """What all replicas have counted, an actor: whichever of them is asked tells the sum."""

    def __init__(self) -> None:
        self._reported: dict[str, Counter[Any]] = {}

    def report(self, replica: str, values: Counter[Any]) -> list[Counter[Any]]:
        """Take over what a replica has counted so far; those of all."""
        self._reported[replica] = values
        return list(self._reported.values())


class _Replica:
    """One process that answers.

    Args:
        make: the application, in the replica.
        text: what `/metrics` shows of the counters of all replicas.
        max_body: bytes of a request that are read.
    """

    def __init__(self, make: Callable[[], Answering], text: Callable[..., str], max_body: int) -> None:
        import ray
        from ray import serve

        self._application, self._text, self._max_body = make(), text, max_body
        self._name = serve.get_replica_context().replica_id.unique_id
        self._total = ray.remote(_Total).options(name=_TOTAL, get_if_exists=True, num_cpus=0).remote()
        self._reported = time.monotonic()

    async def __call__(self, request: Any) -> Any:
        """The response to a Starlette request."""
        from starlette.responses import Response

        path = request.url.path
        if path == METRICS and request.method == "GET":
            shown = self._text(await self._report())
            return Response(shown, media_type="text/plain; version=0.0.4")
        body = await self._body(request)
        if body is None:
            text = f'{{"error": "body: larger than the {self._max_body:,} bytes that are read"}}'
            return Response(text, 400, media_type="application/json")
        answer = self._application.answer(request.method, path, body)
        if time.monotonic() - self._reported > _REPORT_S:
            self._reported = time.monotonic()
            self._report()
        return Response(answer.body, answer.status, media_type=answer.content_type)

    async def _body(self, request: Any) -> bytes | None:
        """The body, or None for one that is too large, of which no more is kept."""
        declared = request.headers.get("content-length", "0")
        if not declared.isdigit() or int(declared[:20]) > self._max_body:
            return None
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > self._max_body:
                return None
        return bytes(body)

    def _report(self) -> Any:
        return self._total.report.remote(self._name, self._application.counters.values)


@contextmanager
def served(
    make: Callable[[], Answering],
    text: Callable[..., str],
    *,
    host: str,
    port: int,
    replicas: int,
    max_body: int,
) -> Iterator[str]:
    """Inside the block the application answers; yields its address.

    Args:
        make: a picklable function that makes the application, called in every replica.
        text: what `/metrics` shows of the counters of all replicas.
        host, port: where to listen; port 0 for any free one.
        replicas: processes that answer.
        max_body: bytes of a request that are read.

    Raises:
        UserError: Ray Serve is not installed, or the address cannot be listened at.
    """
    try:
        from ray import serve
    except ImportError as error:
        raise UserError('Ray Serve is not installed; pip install "spane_rllib[serve]"') from error
    port = _free_port(host, port)
    with ray_session(num_cpus=replicas, if_lost="start serving again"):
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        quiet = {"log_level": "WARNING", "enable_access_log": False}
        serve.start(http_options={"host": host, "port": port}, logging_config=quiet)
        deployment = serve.deployment(_Replica).options(
            name="placements",
            num_replicas=replicas,
            max_ongoing_requests=100,
            ray_actor_options={"num_cpus": 1},
        )
        try:
            serve.run(deployment.bind(make, text, max_body), name="spane_rllib", logging_config=quiet)
            yield f"http://{host}:{port}"
        finally:
            if os.environ.get("RAY_ADDRESS"):  # a local Ray ends with all that runs on it
                serve.shutdown()


def _free_port(host: str, port: int) -> int:
    """`port`, or any free one for 0; a `UserError` where it is taken."""
    try:
        with socket.create_server((host, port)) as probe:
            return int(probe.getsockname()[1])
    except OSError as error:
        raise UserError(
            f"cannot listen at {host}:{port}: {error.strerror or error}; give another --host or --port"
        ) from error
