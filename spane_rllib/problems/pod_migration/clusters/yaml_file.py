"""Clusters in YAML:

nodes:
  - {count: 10, cpu: 100, memory: 100}           # or one with a `name`
pods:
  - {count: 50, cpu: 5, memory: 5}               # in blocks on the nodes
  - {name: web, cpu: 2, memory: 4, node: node-3} # or where it is said
"""

from __future__ import annotations

from typing import Annotated, TypeVar

import numpy as np
from pydantic import Field, Strict

from spane_rllib.core.errors import UserError
from spane_rllib.core.settings import Settings, validated
from spane_rllib.core.strict_yaml import parse_yaml
from spane_rllib.core.words import suggestion
from spane_rllib.problems.pod_migration.clusters.cluster import PodCluster

MOST = 100_000


class _Group(Settings):
    name: str | None = Field(default=None, min_length=1, max_length=253, description="Of one, or prefix.")
    count: int = Field(default=1, ge=1, le=MOST, description="How many of the same.")


class NodeGroup(_Group):
    """Equal nodes."""

    cpu: float = Field(gt=0, le=1e9, description="Allocatable CPU of each.")
    memory: float = Field(gt=0, le=1e9, description="Allocatable memory of each.")


class PodGroup(_Group):
    """Equal pods."""

    cpu: float = Field(ge=0, le=1e9, description="CPU that each asks for.")
    memory: float = Field(ge=0, le=1e9, description="Memory that each asks for.")
    node: str | None = Field(default=None, description="Where they are; null: in blocks over all nodes.")


Group = TypeVar("Group", bound=_Group)


class ClusterFile(Settings):
    """Nodes and pods."""

    nodes: Annotated[tuple[NodeGroup, ...], Strict(False), Field(min_length=1)]
    pods: Annotated[tuple[PodGroup, ...], Strict(False), Field(min_length=1)]


def read_cluster_yaml(text: str, where: str, name: str) -> PodCluster:
    """The cluster that YAML describes.

    Args:
        text: the YAML.
        where: the file, for messages.
        name: of the cluster.

    Raises:
        UserError: it describes none.
    """
    data = parse_yaml(text, where)
    if not isinstance(data, dict):
        raise UserError(f"{where}: must hold nodes and pods (docs/pod_migration.md shows one)")
    file = validated(ClusterFile, data, where)
    nodes, pods = _named(file.nodes, "node", where), _named(file.pods, "pod", where)
    number = {node: at for at, (node, _) in enumerate(nodes)}
    unplaced = sum(group.node is None for _, group in pods)
    placement, blocks = [], 0
    for pod, group in pods:
        if group.node is None:
            placement.append(blocks * len(nodes) // unplaced)
            blocks += 1
        elif group.node in number:
            placement.append(number[group.node])
        else:
            hint = suggestion(group.node, number)
            raise UserError(f"{where}: pod {pod}: node {group.node!r} is not among the nodes; {hint}")
    return PodCluster(
        name,
        np.array([[group.cpu, group.memory] for _, group in nodes]),
        np.array([[group.cpu, group.memory] for _, group in pods]),
        np.array(placement, np.int64),
        [node for node, _ in nodes],
        [pod for pod, _ in pods],
    )


def _named(groups: tuple[Group, ...], kind: str, where: str) -> list[tuple[str, Group]]:
    """Every single one with its name; those of a group are numbered."""
    named: list[tuple[str, Group]] = []
    for group in groups:
        if len(named) + group.count > MOST:
            raise UserError(f"{where}: more than {MOST:,} {kind}s")
        for at in range(group.count):
            if group.name is not None:
                called = group.name if group.count == 1 else f"{group.name}-{at}"
            else:
                called = f"{kind}-{len(named)}"
            named.append((called, group))
    names = [called for called, _ in named]
    if len(set(names)) < len(names):
        twice = next(called for called in names if names.count(called) > 1)
        raise UserError(f"{where}: two {kind}s are called {twice!r}; give each a name of its own")
    return named
