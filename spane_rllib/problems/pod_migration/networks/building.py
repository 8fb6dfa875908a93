"""Networks by kind, and from the directories of models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from spane_rllib.core.errors import UserError
from spane_rllib.core.plugins import check_named, is_plugin, plugin_options
from spane_rllib.core.settings import suggestion, validated
from spane_rllib.learning.models import ModelFile, load_model
from spane_rllib.learning.networks import build_own, remember, seeded
from spane_rllib.problems.environment_task import EnvironmentMetadata
from spane_rllib.problems.pod_migration.environments.observation import observation_space
from spane_rllib.problems.pod_migration.instance import PodInstance
from spane_rllib.problems.pod_migration.networks.equivariant import PodNetwork
from spane_rllib.problems.pod_migration.settings import NETWORKS

PROBLEM = "pod_migration"


def build_network(kind: str, options: Mapping[str, Any], instance: PodInstance, seed: int) -> nn.Module:
    """A network with fresh weights; raises `UserError` for an unknown kind or option."""
    where = f"options of network {kind}"
    if is_plugin(kind):
        parsed = validated(plugin_options(kind), options, where)
        return build_own(kind, parsed, observation_space(instance), seed)
    if kind not in NETWORKS:
        raise UserError(f"unknown network kind {kind!r}; {suggestion(kind, NETWORKS)}")
    chosen = validated(NETWORKS[kind], options, where)
    return remember(seeded(lambda: PodNetwork(**chosen.model_dump()), seed), kind, chosen)


def load_network(directory: str, instance: PodInstance) -> nn.Module:
    """The network in the directory of a model, whatever cluster it was trained on.

    Raises:
        UserError: it is damaged, or of another problem.
    """

    def build(file: ModelFile[EnvironmentMetadata]) -> nn.Module:
        if file.metadata.problem != PROBLEM:
            raise UserError(f"a model of the problem {file.metadata.problem!r}, not {PROBLEM}")
        if is_plugin(file.kind):
            check_named(file.kind)
        return build_network(file.kind, file.options, instance, seed=0)

    return load_model(directory, ModelFile[EnvironmentMetadata], build)[0].eval()
