"""Model directories of this problem."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from torch import nn

from spane_rllib.core.errors import UserError
from spane_rllib.core.plugins import check_named, is_plugin, plugin_options
from spane_rllib.core.settings import suggestion, validated
from spane_rllib.learning.models import ModelFile, Provenance, load_model, model_identity
from spane_rllib.learning.networks import build_own, remember
from spane_rllib.problems.gpu_jobs.networks.modules import build
from spane_rllib.problems.gpu_jobs.networks.options import NETWORKS
from spane_rllib.problems.gpu_jobs.playing import TrainedPolicy
from spane_rllib.problems.gpu_jobs.settings import GpuJobsSettings


class GpuJobsMetadata(Provenance):
    """Where a model comes from."""

    problem: str = Field(description="name")
    instance: dict[str, Any] = Field(description="what it was trained on, JSON values")


def load_trained(directory: str, name: str) -> TrainedPolicy:
    """The policy in a model directory, called `name`; a `UserError` where it is damaged."""
    network, metadata = load_model(directory, ModelFile[GpuJobsMetadata], _rebuild)
    settings = validated(GpuJobsSettings, metadata.instance, "metadata.instance")
    return TrainedPolicy(
        name,
        model_identity(directory, network),
        network.eval(),
        settings.episode.slots,
        settings.episode.order,
        settings.rules if settings.rules == "published" else "",
    )


def _rebuild(file: ModelFile[GpuJobsMetadata]) -> nn.Module:
    """The network that `model.json` describes."""
    if file.metadata.problem != "gpu_jobs":
        raise UserError(f"a model of the problem {file.metadata.problem!r}, not gpu_jobs")
    settings = validated(GpuJobsSettings, file.metadata.instance, "metadata.instance")
    if is_plugin(file.kind):
        check_named(file.kind)
        from spane_rllib.problems.gpu_jobs.environment import GpuJobsEnv

        parsed = validated(plugin_options(file.kind), file.options, "options")
        keywords = settings.model_copy(update={"jobs": "synthetic"}).model_dump(mode="json")
        return build_own(file.kind, parsed, GpuJobsEnv(**keywords).observation_space, 0)
    if file.kind not in NETWORKS:
        raise UserError(f"unknown network kind {file.kind!r}; {suggestion(file.kind, NETWORKS)}")
    options = validated(NETWORKS[file.kind], file.options, f"options of network {file.kind}")
    network = build(file.kind, options, settings.episode.slots, settings.rules == "published")
    return remember(network, file.kind, options)
