"""Model directories of this problem."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from spane_rllib.core.settings import validated
from spane_rllib.learning.models import ModelFile, load_model, model_identity
from spane_rllib.learning.networks import build_kind
from spane_rllib.problems.environment_task import EnvironmentMetadata, check_model_of
from spane_rllib.problems.gpu_jobs.networks.modules import build
from spane_rllib.problems.gpu_jobs.networks.options import NETWORKS
from spane_rllib.problems.gpu_jobs.playing import TrainedPolicy
from spane_rllib.problems.gpu_jobs.settings import GpuJobsSettings


def load_trained(directory: str, name: str) -> TrainedPolicy:
    """The policy in a model directory, called `name`; a `UserError` where it is damaged."""
    network, metadata = load_model(directory, ModelFile[EnvironmentMetadata], _rebuild)
    settings = validated(GpuJobsSettings, metadata.instance, "metadata.instance")
    return TrainedPolicy(
        name,
        model_identity(directory, network),
        network.eval(),
        settings.episode.slots,
        settings.episode.order,
        settings.rules if settings.rules == "published" else "",
    )


def build_network(kind: str, options: Mapping[str, Any], settings: GpuJobsSettings, seed: int) -> nn.Module:
    """A network with fresh weights; raises `UserError` for an unknown kind or option."""

    def space() -> Any:
        from spane_rllib.problems.gpu_jobs.environment import GpuJobsEnv

        # Which jobs there are changes nothing about it.
        keywords = settings.model_copy(update={"jobs": "synthetic"}).model_dump(mode="json")
        return GpuJobsEnv(**keywords).observation_space

    slots, published = settings.episode.slots, settings.rules == "published"
    return build_kind(
        NETWORKS, kind, options, lambda parsed: build(kind, parsed, slots, published), space, seed
    )


def _rebuild(file: ModelFile[EnvironmentMetadata]) -> nn.Module:
    """The network that `model.json` describes."""
    check_model_of(file, "gpu_jobs")
    settings = validated(GpuJobsSettings, file.metadata.instance, "metadata.instance")
    return build_network(file.kind, file.options, settings, seed=0)
