"""Requests in, answers out: everything of the server but what carries it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field

from spane_rllib.core.errors import UserError, one_line
from spane_rllib.core.settings import Settings, validated
from spane_rllib.problems.vm_scheduling.deploying import DeployedPolicy, Placement, Vm, load_deployed
from spane_rllib.problems.vm_scheduling.serving.counters import Counters
from spane_rllib.problems.vm_scheduling.serving.extender import filter_nodes, prioritize_nodes

PATHS = {"/health": "GET", "/metrics": "GET", "/place": "POST", "/filter": "POST", "/prioritize": "POST"}


class VmRequest(Settings):
    """The VM of a request."""

    cpu: float = Field(gt=0, le=1e9, description="Cores.")
    memory: float = Field(gt=0, le=1e9, description="GiB.")
    arrival: float | None = Field(default=None, description="Seconds since any fixed moment; null for now.")


class SlotRequest(Settings):
    """Where a VM was put."""

    server: int = Field(ge=0, description="From 0, as in `servers`.")
    node: int | None = Field(default=None, ge=0, le=1, description="null: half on both.")


class PlaceRequest(Settings):
    """The body of `POST /place`."""

    servers: Any = Field(description="(N, 2, 2): `servers[server][node] = [cores, GiB]` that are free.")
    vm: VmRequest = Field(description="What is to be placed.")
    placed: SlotRequest | None = Field(
        default=None, description="Where the VM was really put: what the policy says is then only logged."
    )


class Answer(NamedTuple):
    """An HTTP response."""

    status: int
    body: bytes
    content_type: str = "application/json"


class Application:
    """Answers requests with what a policy decides; used by one thread.

    Args:
        policy: what decides.
        shadow: file to which a line is added for every decision beside what was really done; None for none.
    """

    def __init__(self, policy: DeployedPolicy, shadow: str | os.PathLike[str] | None = None) -> None:
        self.policy = policy
        self.counters = Counters()
        self._shadow = None if shadow is None else Path(shadow)

    def answer(self, method: str, path: str, body: bytes) -> Answer:
        """The response to a request; bad ones get one line and status 400, 404 or 405, none raises."""
        try:
            answer = self._answer(method, path, body)
        except UserError as error:
            answer = refusal(400, str(error))
        except Exception as error:  # of a policy of one's own, or ours: the server goes on
            answer = refusal(500, f"the policy failed: {error!r}")
        self.counters.add(
            "requests_total", path=path if path in PATHS else "other", status=str(answer.status)
        )
        return answer

    def _answer(self, method: str, path: str, body: bytes) -> Answer:
        if path not in PATHS:
            return refusal(404, f"no path {path[:100]}; known: {', '.join(PATHS)}")
        if method != PATHS[path]:
            return refusal(405, f"{path}: needs {PATHS[path]}")
        if path == "/health":
            return _json({"status": "ok", "policy": self.policy.name})
        data = parse(body)
        if path == "/place":
            return _json(self._place(data))
        extend = filter_nodes if path == "/filter" else prioritize_nodes
        return _json(extend(self.policy, data))

    def _place(self, data: Mapping[str, Any]) -> dict[str, Any]:
        request = validated(PlaceRequest, data, "body")
        vm = Vm(request.vm.cpu, request.vm.memory, request.vm.arrival)
        started = time.perf_counter()
        try:
            chosen = self.policy.act(request.servers, vm)
        except (TypeError, ValueError, OverflowError) as error:  # of lists that are no array of numbers
            raise UserError(
                f"servers: must be numbers, servers[server][node] = [cores, GiB] ({one_line(str(error))})"
            ) from error
        self.counters.observe("decision_seconds", time.perf_counter() - started)
        self.counters.add("placements_total", result="nowhere" if chosen is None else "placed")
        answer = {"server": chosen.server, "node": chosen.node} if chosen else {"server": None, "node": None}
        if request.placed is None:
            return answer
        real = Placement(request.placed.server, request.placed.node)
        self.policy.placed(real)
        agrees = chosen == real
        self.counters.add("shadow_total", agrees=str(agrees).lower())
        if self._shadow is not None:
            line = {"time": time.time(), "vm": vm._asdict(), "policy": answer, "placed": real._asdict()}
            with self._shadow.open("a", encoding="utf-8") as file:
                file.write(json.dumps({**line, "agrees": agrees}) + "\n")
        return answer | {"agrees": agrees}


def parse(body: bytes) -> dict[str, Any]:
    """A JSON object; a `UserError` for anything else."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UserError(f"body: is not JSON: {one_line(str(error))}") from error
    if not isinstance(data, dict):
        raise UserError("body: must be a JSON object")
    return data


def refusal(status: int, message: str) -> Answer:
    """An error of one line."""
    return _json({"error": one_line(message)}, status)


def load_application(policy: str, shadow: str | None = None, **options: Any) -> Application:
    """The application of the policy called `policy`; `options` are those of `load_deployed`.

    The policy decides once here, so that the first request finds everything compiled.
    """
    deployed = load_deployed(policy, **options)
    fixed = getattr(getattr(deployed.policy, "network", None), "fixed_servers", None)
    cluster = deployed.cluster if deployed.cluster.groups else replace(deployed.cluster, servers=fixed or 1)
    deployed.act(cluster.node_sizes().reshape(cluster.pairs, -1, 2), (1.0, 1.0))
    deployed.reset()
    return Application(deployed, shadow)


def _json(data: Any, status: int = 200) -> Answer:
    return Answer(status, json.dumps(data).encode())
