"""Models on disk: a folder with `weights.safetensors` and `model.json`, readable without ray or pickle."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import safetensors.torch
import torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError, deserialize
from torch import Tensor

import spane_rllib
from spane_rllib.core.errors import UserError, one_line
from spane_rllib.core.settings import Settings, user_error
from spane_rllib.problems.vm_scheduling.networks.base import QNetwork
from spane_rllib.problems.vm_scheduling.networks.registry import network_skeleton
from spane_rllib.problems.vm_scheduling.networks.score import ScoreWeights
from spane_rllib.problems.vm_scheduling.networks.spane import SpaneNetwork

WEIGHTS_FILE = "weights.safetensors"
MODEL_FILE = "model.json"
_MAX_JSON_BYTES = 1 << 20
_MAX_HEADER_BYTES = 1 << 20

_Positive = Annotated[float, Field(gt=0)]


class Normalisation(Settings):
    """What the observations were divided by."""

    node_cpu: _Positive = Field(description="CPU cores of a NUMA node")
    node_memory: _Positive = Field(description="memory of a NUMA node, GiB")
    double_memory_threshold: Annotated[float, Field(ge=0)] | None = Field(
        description="a VM with more memory, GiB, is split over both nodes; None: by another rule"
    )


class TraceIdentity(Settings):
    """The trace a model was trained on."""

    name: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="`VmTrace.sha256`")


class ModelMetadata(Settings):
    """Where a model comes from. Values that could not be loaded again raise `pydantic.ValidationError`."""

    servers: int = Field(ge=1, description="servers of the cluster it was trained on")
    normalisation: Normalisation
    trace: TraceIdentity
    seed: int | None = Field(description="of the training; None: not known")
    metrics: dict[str, float | None] = Field(default={}, description="results by name; None if not a number")
    training: dict[str, Any] = Field(default={}, description="settings it was trained with, JSON values")
    package_version: str = Field(default_factory=lambda: spane_rllib.__version__)


class _ModelFile(Settings):
    """`model.json`. Version 1 is from before SPANE had the options of `_VERSION_1_SPANE`."""

    format_version: Literal[1, 2] = 2
    kind: str
    options: dict[str, Any]
    metadata: ModelMetadata


_VERSION_1_SPANE = {"encoder_output": "relu", "standard_deviation": "population"}

Model = QNetwork | ScoreWeights


def save_model(directory: str | os.PathLike[str], network: Model, metadata: ModelMetadata) -> None:
    """Write a model folder in one step; a model that is there already is replaced.

    Raises:
        UserError: the weights are not finite, the place is taken by something else or cannot be written.
    """
    target = Path(directory)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    _check_finite(state, target)
    text = _ModelFile(kind=network.kind, options=network.options(), metadata=metadata).model_dump_json(
        indent=2
    )
    try:
        if target.is_symlink() or (target.exists() and not _replaceable(target)):
            raise UserError(f"{target} exists and is not a model folder; choose another place")
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as workshop:
            new, old = Path(workshop, "new"), Path(workshop, "old")
            new.mkdir()
            (new / WEIGHTS_FILE).write_bytes(safetensors.torch.save(state))
            (new / MODEL_FILE).write_text(text + "\n", encoding="utf-8")
            if not target.exists():
                new.rename(target)
                return
            # A folder that is not empty cannot be replaced by renaming over it.
            target.rename(old)
            try:
                new.rename(target)
            except OSError:
                old.rename(target)
                raise
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror or error}") from error


def load_model(directory: str | os.PathLike[str]) -> tuple[Model, ModelMetadata]:
    """The network or score in a model folder, and where it comes from. Nothing in the folder is trusted.

    Raises:
        UserError: a file is missing, unreadable, damaged, or the two do not belong together.
    """
    model_path, weights_path = Path(directory, MODEL_FILE), Path(directory, WEIGHTS_FILE)
    try:
        file = _ModelFile.model_validate_json(_read(model_path, _MAX_JSON_BYTES))
    except ValidationError as error:
        raise user_error(error, str(model_path)) from error
    try:
        network = _skeleton(file)
    except UserError as error:
        raise UserError(f"{model_path}: {error}") from error

    # The skeleton holds no memory, so sizes made up in model.json cost nothing before they are compared.
    expected = network.state_dict()
    size = sum(tensor.nbytes for tensor in expected.values())
    data = _read(weights_path, size + _MAX_HEADER_BYTES)
    try:
        views = dict(deserialize(data))
    except SafetensorError as error:
        raise UserError(
            f"{weights_path}: not a safetensors file or damaged: {one_line(str(error))}"
        ) from error
    _check_tensors(views, expected, weights_path)
    state = safetensors.torch.load(data)
    _check_finite(state, weights_path)
    network.to_empty(device="cpu").load_state_dict(state)
    return network, file.metadata


def model_digest(directory: str | os.PathLike[str]) -> str:
    """Hash of what a model folder holds, wherever it lies."""
    content = b"".join(Path(directory, name).read_bytes() for name in (WEIGHTS_FILE, MODEL_FILE))
    return hashlib.sha256(content).hexdigest()


def _skeleton(file: _ModelFile) -> Model:
    if file.kind == ScoreWeights.kind:
        return ScoreWeights.skeleton(file.options)
    options = file.options
    if file.kind == SpaneNetwork.kind and file.format_version == 1:
        options = _VERSION_1_SPANE | options
    return network_skeleton(file.kind, options, file.metadata.servers)


def _replaceable(folder: Path) -> bool:
    """Whether it holds nothing but a model."""
    return folder.is_dir() and {path.name for path in folder.iterdir()} <= {MODEL_FILE, WEIGHTS_FILE}


def _read(path: Path, largest: int) -> bytes:
    try:
        if not path.is_file():  # also keeps a pipe from blocking
            raise UserError(f"{path}: no such file; a model folder holds {MODEL_FILE} and {WEIGHTS_FILE}")
        with path.open("rb") as stream:
            data = stream.read(largest + 1)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    if len(data) > largest:
        raise UserError(f"{path}: larger than the {largest:,} bytes this model can need; the file is damaged")
    return data


def _check_tensors(
    found: Mapping[str, Mapping[str, Any]], expected: Mapping[str, Tensor], path: Path
) -> None:
    """Compare names, shapes and number types; all networks are float32."""
    if missing := sorted(expected.keys() - found.keys()):
        raise UserError(f"{path}: no tensor {missing[0]}, which {MODEL_FILE} asks for")
    if unknown := sorted(found.keys() - expected.keys()):
        raise UserError(
            f"{path}: tensor {one_line(ascii(unknown[0]))} is not part of the network in {MODEL_FILE}"
        )
    for name, tensor in expected.items():
        given, wanted = (found[name]["dtype"], list(found[name]["shape"])), ("F32", list(tensor.shape))
        if given != wanted:
            asked = f"{MODEL_FILE} asks for {wanted[0]} {wanted[1]}"
            raise UserError(f"{path}: tensor {name} is {given[0]} {given[1]}, but {asked}")


def _check_finite(state: Mapping[str, Tensor], path: Path) -> None:
    for name, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise UserError(f"{path}: tensor {name} has values that are not finite; the training diverged?")
