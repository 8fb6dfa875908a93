"""Model directories: a safetensors and a JSON file, which load without Ray and never unpickle anything."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import safetensors.torch
import torch
from pydantic import Field, SerializeAsAny, ValidationError
from safetensors import SafetensorError, deserialize
from torch import Tensor, nn

from spane_rllib.core.errors import UserError, one_line
from spane_rllib.core.plugins import is_plugin, plugin_identity
from spane_rllib.core.reading import read_bytes, reading
from spane_rllib.core.settings import Settings, user_error
from spane_rllib.core.version import __version__
from spane_rllib.learning.networks import built_from, with_memory

WEIGHTS_FILE = "weights.safetensors"
MODEL_FILE = "model.json"
_MAX_JSON_BYTES = 1 << 20
_MAX_HEADER_BYTES = 1 << 20
_MAX_BYTES = 1 << 31  # of weights, where nothing says how large they are
_TYPES = {torch.float32: "F32", torch.float64: "F64", torch.int64: "I64", torch.bool: "BOOL"}


class Provenance(Settings):
    """Where a model comes from. Values that could not be loaded again raise `pydantic.ValidationError`.

    A problem adds what the model was trained on.
    """

    seed: int | None = Field(description="of the training; None: not known")
    metrics: dict[str, float | None] = Field(default={}, description="results by name; None if not a number")
    training: dict[str, Any] = Field(default={}, description="settings it was trained with, JSON values")
    package_version: str = Field(default_factory=lambda: __version__)


Metadata = TypeVar("Metadata", bound=Provenance)
Network = TypeVar("Network", bound=nn.Module)


class ModelFile(Settings, Generic[Metadata]):
    """`model.json`. What the versions of the format mean is up to the problem; new files have the last."""

    format_version: Literal[1, 2] = 2
    kind: str
    options: dict[str, Any]
    metadata: SerializeAsAny[Metadata]


def save_model(directory: str | os.PathLike[str], network: nn.Module, metadata: Provenance) -> None:
    """Write a model folder in one step; a model that is there already is replaced.

    Args:
        directory: the folder.
        network: has an attribute `kind` and a method `options()`, or came through `networks.remember`.
        metadata: where it comes from.

    Raises:
        UserError: the weights are not finite, the place is taken by something else or cannot be written.
    """
    target = Path(directory)
    # Copies, since safetensors refuses weights that share memory.
    state = {
        name: tensor.detach().cpu().contiguous().clone() for name, tensor in network.state_dict().items()
    }
    _check_finite(state, target)
    kind, options = built_from(network)
    file: ModelFile[Provenance] = ModelFile(kind=kind, options=options, metadata=metadata)
    try:
        if target.is_symlink() or (target.exists() and not _replaceable(target)):
            raise UserError(f"{target} exists and is not a model folder; choose another place")
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as workshop:
            new, old = Path(workshop, "new"), Path(workshop, "old")
            new.mkdir()
            (new / WEIGHTS_FILE).write_bytes(safetensors.torch.save(state))
            (new / MODEL_FILE).write_text(file.model_dump_json(indent=2) + "\n", encoding="utf-8")
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


def load_model(
    directory: str | os.PathLike[str],
    kind: type[ModelFile[Metadata]],
    build: Callable[[ModelFile[Metadata]], Network],
) -> tuple[Network, Metadata]:
    """The network in a model folder, and where it comes from. Nothing in the folder is trusted.

    Args:
        directory: the folder.
        kind: with the metadata of the problem.
        build: makes the network that `model.json` describes, best on torch's meta device: sizes made up there
            cost nothing before they are compared.

    Raises:
        UserError: a file is missing, unreadable, damaged, or the two do not belong together.
    """
    model_path, weights_path = Path(directory, MODEL_FILE), Path(directory, WEIGHTS_FILE)
    try:
        file = kind.model_validate_json(_read(model_path, _MAX_JSON_BYTES))
    except ValidationError as error:
        raise user_error(error, str(model_path)) from error
    try:
        network = build(file)
    except UserError as error:
        raise UserError(f"{model_path}: {error}") from error

    _load(network, weights_path)
    return network, file.metadata


def load_weights(directory: str | os.PathLike[str], network: nn.Module) -> None:
    """Give `network` the weights of the model in a folder, whatever that was trained on.

    Raises:
        UserError: they are missing, damaged, or of another network.
    """
    _load(network, Path(directory, WEIGHTS_FILE))


def read_kind(directory: str | os.PathLike[str]) -> tuple[str, dict[str, Any]]:
    """The kind of network in a model folder, and its options; a `UserError` where they cannot be read."""
    path = Path(directory, MODEL_FILE)
    try:
        file = json.loads(_read(path, _MAX_JSON_BYTES))
        kind, options = file["kind"], dict(file["options"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError(f"{path}: damaged, or no model ({one_line(str(error))})") from error
    if not isinstance(kind, str):
        raise UserError(f"{path}: kind must be a text")
    return kind, options


def _load(network: nn.Module, weights_path: Path) -> None:
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
    if any(tensor.is_meta for tensor in expected.values()):
        with_memory(network)
    network.load_state_dict(state)


def model_digest(directory: str | os.PathLike[str]) -> str:
    """Hash of what a model folder holds, wherever it lies."""
    content = b"".join(_read(Path(directory, name), _MAX_BYTES) for name in (WEIGHTS_FILE, MODEL_FILE))
    return hashlib.sha256(content).hexdigest()


def model_identity(directory: str | os.PathLike[str], network: nn.Module) -> str:
    """What decides the actions of the model loaded from a folder: its digest, and code of one's own."""
    kind, _ = built_from(network)
    own = f" {plugin_identity(kind)}" if is_plugin(kind) else ""
    return model_digest(directory) + own


def copy_model(source: Path, target: Path) -> None:
    """Copy a model directory in one step; `target` must not exist yet."""
    for name in (WEIGHTS_FILE, MODEL_FILE):
        _check_is_file(source / name)
    partial = target.with_name(f".{target.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name in (WEIGHTS_FILE, MODEL_FILE):
            shutil.copyfile(source / name, partial / name)
        partial.rename(target)
    except OSError as error:
        raise UserError(f"cannot copy {source} to {target}: {error.strerror or error}") from error


def _replaceable(folder: Path) -> bool:
    """Whether it holds nothing but a model."""
    return folder.is_dir() and {path.name for path in folder.iterdir()} <= {MODEL_FILE, WEIGHTS_FILE}


def _check_is_file(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"{path}: no such file; a model folder holds {MODEL_FILE} and {WEIGHTS_FILE}")


def _read(path: Path, largest: int) -> bytes:
    with reading(path):
        _check_is_file(path)
    return read_bytes(path, largest, "this model")


def _check_tensors(
    found: Mapping[str, Mapping[str, Any]], expected: Mapping[str, Tensor], path: Path
) -> None:
    """Compare names, shapes and number types."""
    if missing := sorted(expected.keys() - found.keys()):
        raise UserError(f"{path}: no tensor {missing[0]}, which {MODEL_FILE} asks for")
    if unknown := sorted(found.keys() - expected.keys()):
        raise UserError(
            f"{path}: tensor {one_line(ascii(unknown[0]))} is not part of the network in {MODEL_FILE}"
        )
    for name, tensor in expected.items():
        given = found[name]["dtype"], list(found[name]["shape"])
        wanted = _TYPES.get(tensor.dtype, str(tensor.dtype)), list(tensor.shape)
        if given != wanted:
            asked = f"{MODEL_FILE} asks for {wanted[0]} {wanted[1]}"
            raise UserError(f"{path}: tensor {name} is {given[0]} {given[1]}, but {asked}")


def _check_finite(state: Mapping[str, Tensor], path: Path) -> None:
    for name, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise UserError(f"{path}: tensor {name} has values that are not finite; the training diverged?")
