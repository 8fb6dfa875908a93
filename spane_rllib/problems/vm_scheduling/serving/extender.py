"""The two calls of a Kubernetes scheduler extender, in the shapes of `k8s.io/kube-scheduler/extender/v1`.

kube-scheduler sends `ExtenderArgs` with the pod and the candidate nodes and reads an `ExtenderFilterResult`
or a `HostPriorityList`. What is free on the NUMA nodes of a node stands in its annotations (or labels), as
Kubernetes quantities that an agent on the node keeps up to date:

    spane-rllib.io/numa-0-free-cpu: "12500m"        spane-rllib.io/numa-0-free-memory: 40Gi
    spane-rllib.io/numa-1-free-cpu: "30"            spane-rllib.io/numa-1-free-memory: 81920Mi
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from spane_rllib.core.errors import UserError
from spane_rllib.problems.vm_scheduling.deploying import DeployedPolicy, Vm
from spane_rllib.problems.vm_scheduling.simulator.cluster import NODES_PER_SERVER

PREFIX = "spane-rllib.io/numa-"
HIGHEST_SCORE = 10  # MaxExtenderPriority
_GIB = 2.0**30
_SUFFIXES = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0} | {
    suffix + binary: float(base) ** power
    for power, suffix in enumerate("KMGTPE", start=1)
    for binary, base in (("", 1000), ("i", 1024))
}
_SUFFIXES["k"] = _SUFFIXES.pop("K")
_QUANTITY = re.compile(r"([0-9]{1,20}(?:\.[0-9]{0,20})?(?:[eE][+-]?[0-9]{1,2})?)([A-Za-z]{0,2})")

Free = list[list[float]]
"""Cores and GiB of each NUMA node."""


def filter_nodes(policy: DeployedPolicy, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """An `ExtenderFilterResult`: the nodes with room for the pod, and why the others have none.

    Raises:
        UserError: `arguments` are no `ExtenderArgs` with whole nodes.
    """
    vm, nodes = _read(arguments)
    failed: dict[str, str] = {}
    free = _free_of(nodes, failed)
    if vm is not None and free:
        for name, fit in zip(free, policy.fits(list(free.values()), vm), strict=True):
            if not fit:
                failed[name] = f"no NUMA node has {vm.cpu:g} cores and {vm.memory:g} GiB free for the pod"
    kept = [node for node in nodes if _name(node) not in failed]
    return {
        "Nodes": {"apiVersion": "v1", "kind": "NodeList", "metadata": {}, "items": kept},
        "NodeNames": None,
        "FailedNodes": failed,
        "FailedAndUnresolvableNodes": {},
        "Error": "",
    }


def prioritize_nodes(policy: DeployedPolicy, arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A `HostPriorityList`: `HIGHEST_SCORE` for the node that the policy chooses, 0 for the others.

    Raises:
        UserError: as `filter_nodes`, or the policy is for another number of nodes.
    """
    vm, nodes = _read(arguments)
    free = _free_of(nodes, {})
    chosen = policy.act(list(free.values()), vm) if vm is not None and free else None
    best = None if chosen is None else list(free)[chosen.server]
    return [{"Host": name, "Score": HIGHEST_SCORE if name == best else 0} for name in map(_name, nodes)]


def _read(arguments: Mapping[str, Any]) -> tuple[Vm | None, list[Any]]:
    """The pod, None for one that requests no cores or no memory, and the candidate nodes."""
    given = {str(key).lower(): value for key, value in arguments.items()}  # as Go reads JSON
    pod, nodes = given.get("pod"), given.get("nodes")
    if not isinstance(pod, Mapping):
        raise UserError("Pod: missing; give the ExtenderArgs of kube-scheduler")
    items = nodes.get("items") if isinstance(nodes, Mapping) else None
    if not isinstance(items, list):
        raise UserError("Nodes: missing; set nodeCacheCapable: false in kube-scheduler's configuration")
    cpu, memory = pod_request(pod)
    return (Vm(cpu, memory / _GIB) if cpu > 0 and memory > 0 else None), items


def pod_request(pod: Mapping[str, Any]) -> tuple[float, float]:
    """Cores and bytes that a pod requests: its containers together, or its largest init container."""
    spec = _mapping(pod.get("spec"), "Pod.spec")
    running = [0.0, 0.0]
    largest = [0.0, 0.0]
    for container in _list(spec.get("initContainers"), "Pod.spec.initContainers"):
        needs = _requests(_mapping(container, "Pod.spec.initContainers"))
        if container.get("restartPolicy") == "Always":  # a sidecar, which stays
            running = [a + b for a, b in zip(running, needs, strict=True)]
            needs = running
        else:
            needs = [a + b for a, b in zip(running, needs, strict=True)]
        largest = [max(pair) for pair in zip(largest, needs, strict=True)]
    for container in _list(spec.get("containers"), "Pod.spec.containers"):
        needs = _requests(_mapping(container, "Pod.spec.containers"))
        running = [a + b for a, b in zip(running, needs, strict=True)]
    overhead = _quantities(_mapping(spec.get("overhead"), "Pod.spec.overhead"))
    cpu, memory = (max(a, b) + c for a, b, c in zip(running, largest, overhead, strict=True))
    return cpu, memory


def _requests(container: Mapping[str, Any]) -> list[float]:
    resources = _mapping(container.get("resources"), "resources")
    limits, requests = (_mapping(resources.get(key), f"resources.{key}") for key in ("limits", "requests"))
    return _quantities({**limits, **requests})


def _quantities(resources: Mapping[str, Any]) -> list[float]:
    return [quantity(resources.get(name, "0"), name) for name in ("cpu", "memory")]


def quantity(value: Any, where: str) -> float:
    """A quantity of Kubernetes as a number: 0.5 for "500m", 1024 for "1Ki"; a `UserError` for other text."""
    match = _QUANTITY.fullmatch(str(value))
    if match is None or match[2] not in _SUFFIXES:
        raise UserError(f"{where}: {str(value)[:50]!r} is no quantity; write it as 2, 500m or 40Gi")
    return float(match[1]) * _SUFFIXES[match[2]]


def _free_of(nodes: Iterable[Any], failed: dict[str, str]) -> dict[str, Free]:
    """What is free on nodes that say it, by name; `failed` is told of the others."""
    free: dict[str, Free] = {}
    for node in nodes:
        name = _name(node)
        try:
            free[name] = _free(node)
        except UserError as error:
            failed[name] = str(error)
    return free


def _free(node: Mapping[str, Any]) -> Free:
    metadata = node["metadata"]
    says = {
        **_mapping(metadata.get("labels"), "labels"),
        **_mapping(metadata.get("annotations"), "annotations"),
    }
    numbers = []
    for numa in range(NODES_PER_SERVER):
        keys = [f"{PREFIX}{numa}-free-{resource}" for resource in ("cpu", "memory")]
        for key in keys:
            if key not in says:
                raise UserError(f"no annotation {key}")
        cpu, memory = (quantity(says[key], key) for key in keys)
        numbers.append([cpu, memory / _GIB])
    return numbers


def _name(node: Any) -> str:
    name = _mapping(_mapping(node, "Nodes.items").get("metadata"), "metadata").get("name")
    if not isinstance(name, str):
        raise UserError("Nodes.items: a node without metadata.name")
    return name


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise UserError(f"{where}: must be an object")
    return value


def _list(value: Any, where: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise UserError(f"{where}: must be a list")
    return value
