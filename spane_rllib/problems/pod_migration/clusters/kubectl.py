"""Clusters as `kubectl get nodes,pods -A -o json` prints them.

What is read: names, `status.allocatable` of nodes, `spec.nodeName`, `status.phase` and the requests of the
containers of pods. CPU counts in cores, memory in GiB. Pods that have finished or are on no node are left
out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from spane_rllib.core.errors import UserError, one_line
from spane_rllib.problems.pod_migration.clusters.cluster import PodCluster

GIB = 2.0**30
_UNITS = {
    "": 1.0,
    "m": 1e-3,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "P": 1e15,
    "E": 1e18,
    "u": 1e-6,
    "n": 1e-9,
}
_UNITS |= {f"{letter}i": 1024.0**power for power, letter in enumerate("KMGTPE", start=1)}


def quantity(text: object, where: str) -> float:
    """A Kubernetes quantity, as `250m`, `16Gi` or `4`, as a number.

    Raises:
        UserError: it is none.
    """
    match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)([eE][+-]?\d{1,2})?([a-zA-Z]{0,2})", str(text).strip())
    if not match or match[3] not in _UNITS:
        raise UserError(one_line(f"{where}: {str(text)[:40]!r} is no quantity such as 250m or 16Gi"))
    return float(match[1] + (match[2] or "")) * _UNITS[match[3]]


def read_kubectl(text: str, where: str, name: str) -> PodCluster:
    """The cluster in kubectl's JSON.

    Args:
        text: the JSON.
        where: the file, for messages.
        name: of the cluster.

    Raises:
        UserError: it is not a list of nodes and pods, or describes no cluster.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(one_line(f"{where}: not JSON ({error})")) from error
    items = data.get("items") if isinstance(data, dict) else None
    if not isinstance(items, list):
        raise UserError(f"{where}: no list of items; write it with kubectl get nodes,pods -A -o json")
    nodes: dict[str, tuple[float, float]] = {}
    pods: dict[str, tuple[float, float, str]] = {}
    for at, item in enumerate(items):
        place = f"{where}: items[{at}]"
        kind = _text(item, place, "kind")
        if kind not in ("Node", "Pod"):
            continue
        called = _text(item, place, "metadata", "name")
        place = f"{where}: {kind} {called}"
        if kind == "Node":
            allocatable = _part(item, place, "status", "allocatable")
            cpu, memory = (
                quantity(_text(allocatable, f"{place}: status.allocatable", resource), place)
                for resource in ("cpu", "memory")
            )
            if cpu <= 0 or memory <= 0:
                raise UserError(f"{place}: allocatable CPU and memory must be more than 0")
            nodes[called] = cpu, memory / GIB
            continue
        node = _part(item, place, "spec").get("nodeName")
        if _part(item, place, "status").get("phase") in ("Succeeded", "Failed") or node is None:
            continue
        cpu, memory = _requests(item, place)
        pods[f"{_part(item, place, 'metadata').get('namespace', 'default')}/{called}"] = (
            cpu,
            memory,
            str(node),
        )
    if not nodes or not pods:
        raise UserError(
            f"{where}: {len(nodes)} nodes and {len(pods)} pods on nodes; "
            "write it with kubectl get nodes,pods -A -o json"
        )
    numbers = {node: at for at, node in enumerate(nodes)}
    for pod, (_, _, node) in pods.items():
        if node not in numbers:
            raise UserError(f"{where}: Pod {pod}: node {node!r} is not among the items")
    return PodCluster(
        name,
        np.array(list(nodes.values())),
        np.array([(cpu, memory) for cpu, memory, _ in pods.values()]),
        np.array([numbers[node] for _, _, node in pods.values()], np.int64),
        list(nodes),
        list(pods),
    )


def _requests(pod: Any, place: str) -> tuple[float, float]:
    """CPU and GiB of all containers."""
    containers = _part(pod, place, "spec").get("containers")
    if not isinstance(containers, list):
        raise UserError(f"{place}: spec.containers must be a list")
    cpu = memory = 0.0
    for container in containers:
        resources = container.get("resources") if isinstance(container, dict) else None
        requests = (resources or {}).get("requests") or {} if isinstance(resources or {}, dict) else {}
        if not isinstance(requests, dict):
            raise UserError(f"{place}: resources.requests must hold keys and values")
        cpu += quantity(requests.get("cpu", 0), f"{place}: requests.cpu")
        memory += quantity(requests.get("memory", 0), f"{place}: requests.memory")
    return cpu, memory / GIB


def _part(item: Any, place: str, *keys: str) -> Mapping[str, Any]:
    for key in keys:
        item = item.get(key) if isinstance(item, dict) else None
    if not isinstance(item, dict):
        raise UserError(f"{place}: no {'.'.join(keys)}")
    return item


def _text(item: Any, place: str, *keys: str) -> str:
    for key in keys:
        item = item.get(key) if isinstance(item, dict) else None
    if not isinstance(item, str | int) or isinstance(item, bool) or item == "":
        raise UserError(f"{place}: no {'.'.join(keys)}")
    return str(item)
