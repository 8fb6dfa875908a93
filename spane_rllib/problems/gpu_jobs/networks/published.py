"""Weights of the reference (github.com/HenryAJX/DRL_Scheduler) as models of this package.

Its `.pt` files hold the actor and both critics of its SAC (`actor_state_dict`, `q1_state_dict`,
`q2_state_dict`, `log_alpha`), or the policy of its D3QN alone. Only what plays is taken: the actor, or the
policy. Sizes follow from the file.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from spane_rllib.core.errors import UserError, one_line
from spane_rllib.core.reading import read_bytes
from spane_rllib.learning.models import save_model
from spane_rllib.learning.networks import remember
from spane_rllib.problems.environment_task import EnvironmentMetadata
from spane_rllib.problems.gpu_jobs.networks.modules import build
from spane_rllib.problems.gpu_jobs.networks.options import PublishedOptions
from spane_rllib.problems.gpu_jobs.settings import GpuJobsSettings, WindowSettings

MAX_BYTES = 64 << 20
_LAYERS = {"feature": "trunk", "adv": "advantage"}
"""Ours by those of the reference's D3QN, where they differ."""


def read_published(file: Path) -> tuple[nn.Module, GpuJobsSettings]:
    """The network in `file`, and what it plays. Nothing in the file is trusted.

    Raises:
        UserError: the file cannot be read, or holds something else.
    """
    state = _load(file)
    actor = state.get("actor_state_dict", state)
    if not isinstance(actor, Mapping) or not all(isinstance(value, Tensor) for value in actor.values()):
        raise UserError(f"{file}: no state dict of tensors in it")
    kind = "sac" if any(name.startswith("net.") for name in actor) else "d3qn"
    names = {name: _ours(name, kind) for name in actor}
    first = "net.0.weight" if kind == "sac" else "trunk.0.weight"
    ours = {names[name]: tensor for name, tensor in actor.items()}
    if first not in ours or ours[first].ndim != 2 or (ours[first].shape[1] - 2) % 4:
        raise UserError(f"{file}: no network of the reference; a first layer of 4 K + 2 inputs is missing")
    width, inputs = ours[first].shape
    slots = (inputs - 2) // 4
    if not (1 <= slots <= 256 and 1 <= width <= 4096):
        raise UserError(f"{file}: sizes {width} x {inputs} of the first layer are out of range")
    options = PublishedOptions(width=width)
    network = build(kind, options, slots, published=True)
    for name, wanted in network.state_dict().items():
        if name not in ours:
            raise UserError(f"{file}: no tensor for {name} of a {kind} network")
        if ours[name].shape != wanted.shape:
            raise UserError(
                f"{file}: the tensor for {name} is {list(ours[name].shape)}, not {list(wanted.shape)}"
            )
        if not torch.isfinite(ours[name]).all():
            raise UserError(f"{file}: the tensor for {name} has values that are not finite")
    if unknown := sorted(ours.keys() - network.state_dict().keys()):
        raise UserError(f"{file}: tensor {one_line(ascii(unknown[0]))} is not part of a {kind} network")
    network.load_state_dict(ours)
    settings = GpuJobsSettings(rules="published", episode=WindowSettings(source="published", slots=slots))
    return remember(network, kind, options), settings


def import_published(folders: Mapping[Path, Path]) -> list[str]:
    """Write the networks of files as model folders, once all are read; a line about each."""
    networks = {folder: read_published(file) for folder, file in folders.items()}
    lines = []
    for folder, (network, settings) in networks.items():
        metadata = EnvironmentMetadata(
            problem="gpu_jobs", instance=settings.model_dump(mode="json"), seed=None
        )
        save_model(folder, network, metadata)
        weights = sum(parameter.numel() for parameter in network.parameters())
        kind, slots = type(network).__name__, settings.episode.slots
        lines.append(f"{folder}: {kind}, {weights:,} parameters, sees {slots} waiting jobs")
    return lines


def _ours(name: str, kind: str) -> str:
    module, _, rest = str(name).partition(".")
    return str(name) if kind == "sac" else f"{_LAYERS.get(module, module)}.{rest}"


def _load(file: Path) -> Mapping[str, Any]:
    try:
        data = read_bytes(file, MAX_BYTES, "a set of weights of the reference")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except UserError:
        raise
    except Exception as error:  # whatever torch finds wrong
        raise UserError(f"{file}: not weights saved by torch, or damaged: {one_line(repr(error))}") from error
    if not isinstance(state, Mapping):
        raise UserError(f"{file}: holds no state dict")
    return state
