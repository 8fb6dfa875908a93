"""Networks by kind, and from the directories of models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from spane_rllib.learning.models import ModelFile, load_model
from spane_rllib.learning.networks import build_kind
from spane_rllib.problems.environment_task import EnvironmentMetadata, check_model_of
from spane_rllib.problems.pod_migration.environments.observation import observation_space
from spane_rllib.problems.pod_migration.instance import PodInstance
from spane_rllib.problems.pod_migration.networks.equivariant import PodNetwork
from spane_rllib.problems.pod_migration.settings import NETWORKS

PROBLEM = "pod_migration"


def build_network(kind: str, options: Mapping[str, Any], instance: PodInstance, seed: int) -> nn.Module:
    """A network with fresh weights; raises `UserError` for an unknown kind or option."""
    return build_kind(
        NETWORKS,
        kind,
        options,
        lambda chosen: PodNetwork(**chosen.model_dump()),
        lambda: observation_space(instance),
        seed,
    )


def load_network(directory: str, instance: PodInstance) -> nn.Module:
    """The network in the directory of a model, whatever cluster it was trained on.

    Raises:
        UserError: it is damaged, or of another problem.
    """

    def build(file: ModelFile[EnvironmentMetadata]) -> nn.Module:
        check_model_of(file, PROBLEM)
        return build_network(file.kind, file.options, instance, seed=0)

    return load_model(directory, ModelFile[EnvironmentMetadata], build)[0].eval()
