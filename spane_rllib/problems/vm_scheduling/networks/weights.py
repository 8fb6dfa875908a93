"""Models of VM scheduling on disk; see `learning.models`."""

from __future__ import annotations

import math
import os
from typing import Annotated

from pydantic import Field, Strict
from torch import nn

from spane_rllib.core.plugins import check_named, is_plugin
from spane_rllib.core.settings import Settings
from spane_rllib.learning import models
from spane_rllib.learning.models import ModelFile, Provenance, model_digest, save_model
from spane_rllib.problems.vm_scheduling.networks.choice import ChoiceNetwork, choice_skeleton
from spane_rllib.problems.vm_scheduling.networks.registry import build_network, network_skeleton
from spane_rllib.problems.vm_scheduling.networks.score import ScoreWeights
from spane_rllib.problems.vm_scheduling.networks.spane import SpaneNetwork
from spane_rllib.problems.vm_scheduling.queue_disciplines import FIFO, QueueText, choices_of
from spane_rllib.problems.vm_scheduling.simulator import Cluster
from spane_rllib.problems.vm_scheduling.simulator.cluster import MAX_NODES, NODES_PER_SERVER, ServerGroup

__all__ = ["ModelMetadata", "Normalisation", "TraceIdentity", "load_model", "model_digest", "save_model"]

_Positive = Annotated[float, Field(gt=0)]


class Normalisation(Settings):
    """What the observations were divided by."""

    node_cpu: _Positive = Field(description="CPU cores of a NUMA node")
    node_memory: _Positive = Field(description="memory of a NUMA node, GiB")
    double_memory_threshold: Annotated[float, Field(ge=0)] | None = Field(
        description="a VM with more memory, GiB, is split over both nodes; None: by another rule"
    )


class TrainedServers(Settings):
    """Equal servers of a cluster in which not all are equal."""

    count: int = Field(ge=1, le=10_000)
    node_cpu: _Positive
    node_memory: _Positive
    nodes: int = Field(ge=1, le=MAX_NODES)


class TraceIdentity(Settings):
    """The trace a model was trained on."""

    name: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="`VmTrace.sha256`")


class ModelMetadata(Provenance):
    """Where a model comes from. Values that could not be loaded again raise `pydantic.ValidationError`."""

    servers: int = Field(ge=1, description="servers of the cluster it was trained on")
    queue: QueueText = Field(default=FIFO.text, description="queue discipline it was trained under")
    server_groups: Annotated[tuple[TrainedServers, ...], Strict(False)] | None = Field(
        default=None, description="these servers where they differ, in the order of their numbers"
    )
    normalisation: Normalisation
    trace: TraceIdentity

    @property
    def cluster(self) -> Cluster:
        """The cluster it was trained on; no VM is double where that was said by another rule than memory."""
        sizes = self.normalisation
        threshold = math.inf if sizes.double_memory_threshold is None else sizes.double_memory_threshold
        if self.server_groups is None:
            return Cluster(self.servers, sizes.node_cpu, sizes.node_memory, threshold)
        groups = (ServerGroup(**group.model_dump()) for group in self.server_groups)
        return Cluster.of_groups(groups, threshold)


# Version 1 of `model.json` is from before SPANE had these options.
_VERSION_1_SPANE = {"encoder_output": "relu", "standard_deviation": "population"}


def load_model(directory: str | os.PathLike[str]) -> tuple[nn.Module, ModelMetadata]:
    """The network (or `ScoreWeights`) in a model folder, and where it comes from; see `models.load_model`.

    Raises:
        UserError: a file is missing, unreadable, damaged, or the two do not belong together; the network is
            one of the user's own that nobody has named.
    """
    return models.load_model(directory, ModelFile[ModelMetadata], _skeleton)


def _skeleton(file: ModelFile[ModelMetadata]) -> nn.Module:
    if file.kind == ScoreWeights.kind:
        return ScoreWeights.skeleton(file.options)
    if is_plugin(file.kind):
        check_named(file.kind)
        return build_network(file.kind, file.options, file.metadata.cluster.pairs, seed=0)
    options = file.options
    if file.kind == ChoiceNetwork.kind:
        choices_of(file.metadata.queue)  # checks it
        features = NODES_PER_SERVER * file.metadata.cluster.node_features
        return choice_skeleton(options, features)
    if file.kind == SpaneNetwork.kind and file.format_version == 1:
        options = _VERSION_1_SPANE | options
    cluster = file.metadata.cluster
    return network_skeleton(file.kind, options, cluster.pairs, NODES_PER_SERVER * cluster.node_features)
