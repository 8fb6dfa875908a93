"""Weights of the published SPANE code (github.com/ChanTinPing/SPANE) as networks of this package.

Its files (`.th`) hold the state dict of one of two networks, whose layers are ours under other names:

- SPANE: `server_embedding.{0,2,...}` ends in a linear layer, `value_layers.{0,2,...}` reads [cluster,
  request], `adv_layers.{0,2,...}` reads [server, cluster, request] and gives both advantages of a server.
- MLP, with and without augmentation: `fc.{0,2,...}` reads [servers, request] and ends in 2N ReLU units, which
  `value` and `adv` read.

A server is [node 0 CPU, memory, node 1 CPU, memory] and a request [CPU, memory, double], CPU and memory as
shares of a node's capacity: as in our observations. The cluster joins the aggregations in the order that the
training was given, which the file does not tell; here they are put in ours. `std` is that of the sample.
"""

from __future__ import annotations

import io
import os
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from spane_rllib.core.errors import UserError, one_line
from spane_rllib.core.reading import read_bytes
from spane_rllib.datasets.catalog import find_dataset
from spane_rllib.learning.networks import with_memory
from spane_rllib.problems.vm_scheduling.networks.base import REQUEST_FEATURES, QNetwork
from spane_rllib.problems.vm_scheduling.networks.options import AGGREGATIONS
from spane_rllib.problems.vm_scheduling.networks.registry import network_skeleton
from spane_rllib.problems.vm_scheduling.networks.weights import ModelMetadata, Normalisation, TraceIdentity
from spane_rllib.problems.vm_scheduling.recordings.restricted_pickle import check_operations

MAX_BYTES = 64 << 20
"""Of a file, packed and unpacked; the published ones have some kilobytes."""
_OLD_PICKLES = 4  # of a file that is no archive: two numbers, the machine, the state

SERVERS = 5
"""Of the published training; a SPANE does not tell."""

_SPANE = {"server_embedding": "server", "value_layers": "value", "adv_layers": "advantage"}
_MLP = {"fc": "trunk", "value": "value", "adv": "advantage"}
State = Mapping[str, Tensor]


def read_published(path: str | os.PathLike[str], aggregations: Sequence[str] | None = None) -> QNetwork:
    """The network whose weights the published code has saved in `path`. Nothing in the file is trusted.

    Args:
        path: a `.th` file.
        aggregations: those of a SPANE, in the order of its training. None stands for mean where the file has
            one and for mean, max and std where it has three.

    Raises:
        UserError: the file cannot be read or is something else, or `aggregations` is missing or does not fit.
    """
    state = _read_state(Path(path))
    try:
        if "server_embedding.0.weight" in state:
            return _spane(state, aggregations)
        if "fc.0.weight" not in state:
            raise UserError(
                f"neither a SPANE ({', '.join(_SPANE)}) nor an MLP ({', '.join(_MLP)}) of the published code"
            )
        if aggregations is not None:
            raise UserError("an MLP has no aggregations; leave out --aggregations")
        return _mlp(state)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def published_metadata(network: QNetwork) -> ModelMetadata:
    """What is known of the training of a network of `read_published`."""
    trace = find_dataset("huawei-east-1-lt")
    assert trace.content_sha256 is not None
    return ModelMetadata(
        servers=network.fixed_servers or SERVERS,
        normalisation=Normalisation(node_cpu=40, node_memory=90, double_memory_threshold=10),
        trace=TraceIdentity(name=Path(trace.file_name).stem, sha256=trace.content_sha256),
        seed=None,  # none was set
    )


def _read_state(path: Path) -> State:
    data = read_bytes(path, MAX_BYTES, "a published network")
    try:
        size, state, pickles = len(data), None, [io.BytesIO(data)] * _OLD_PICKLES
        if data.startswith(b"PK\x03\x04"):  # what torch takes for a zip
            with zipfile.ZipFile(io.BytesIO(data)) as members:
                size = max(size, sum(member.file_size for member in members.infolist()))
                if size <= MAX_BYTES:
                    names = [name for name in members.namelist() if name.endswith("data.pkl")]
                    pickles = [io.BytesIO(members.read(name)) for name in names]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles that it may not understand
            if size <= MAX_BYTES:
                for stream in pickles:
                    check_operations(stream)
                state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can raise anything, in texts that advise to trust it
        raise UserError(
            f"{path}: not a state dict of torch, or damaged; a file of more than tensors is not read, "
            "it could run code"
        ) from error
    if size > MAX_BYTES:
        raise UserError(f"{path}: larger than {MAX_BYTES:,} bytes, which no published network is")
    if not isinstance(state, Mapping) or not all(isinstance(name, str) for name in state):
        raise UserError(f"{path}: not a state dict, which maps names to tensors")
    for name, tensor in state.items():
        if not isinstance(tensor, Tensor) or not _is_plain(tensor):
            raise UserError(f"{path}: {one_line(ascii(name))} is no plain float32 tensor")
    return state


def _is_plain(tensor: Tensor) -> bool:
    kind = (tensor.dtype, tensor.layout, tensor.device.type)
    return kind == (torch.float32, torch.strided, "cpu") and not tensor.is_nested


def _spane(state: State, aggregations: Sequence[str] | None) -> QNetwork:
    width = _size(state, "server_embedding.0.weight", 0)
    inputs = _size(state, "value_layers.0.weight", 1)
    count, rest = divmod(inputs - REQUEST_FEATURES, max(width, 1))
    if rest or not 1 <= count <= len(AGGREGATIONS):
        raise UserError(
            f"tensor value_layers.0.weight has {inputs} columns, but {width} for each of 1 to "
            f"{len(AGGREGATIONS)} aggregations and {REQUEST_FEATURES} for the request are needed"
        )
    if aggregations is None and count == 2:
        raise UserError("joins two aggregations; say which, in their order, as in --aggregations mean,max")
    given = AGGREGATIONS[:count] if aggregations is None else aggregations
    if len(given) != count:
        raise UserError(f"joins {count} of the aggregations, but --aggregations names {len(given)}")
    options = {
        "server_width": width,
        "server_depth": _depth(state, "server_embedding"),
        "value_width": _size(state, "value_layers.0.weight", 0),
        "value_depth": _depth(state, "value_layers") - 1,
        "advantage_width": _size(state, "adv_layers.0.weight", 0),
        "advantage_depth": _depth(state, "adv_layers") - 1,
        "aggregations": given,
        "encoder_output": "linear",
        "standard_deviation": "sample",
    }
    network = network_skeleton("spane", options, SERVERS)
    ours = _renamed(state, network, _SPANE)
    order = [given.index(name) for name in AGGREGATIONS if name in given]
    for name, before in (("value.0.weight", 0), ("advantage.0.weight", width)):
        cluster = ours[name][:, before : before + count * width]
        cluster.copy_(cluster.unflatten(1, (count, width))[:, order].flatten(1))
    return _filled(network, ours)


def _mlp(state: State) -> QNetwork:
    options = {"width": _size(state, "fc.0.weight", 0), "depth": _depth(state, "fc") - 1}
    network = network_skeleton("mlp", options, _size(state, "adv.weight", 0) // 2)
    return _filled(network, _renamed(state, network, _MLP))


def _size(state: State, name: str, dimension: int) -> int:
    """Rows (0) or columns (1) of a weight matrix."""
    if name not in state:
        raise UserError(f"no tensor {name}")
    if state[name].ndim != 2:
        raise UserError(f"tensor {name} has {state[name].ndim} dimensions, not 2")
    return state[name].shape[dimension]


def _depth(state: State, layers: str) -> int:
    """How many linear layers there are under that name."""
    return sum(name.startswith(f"{layers}.") and name.endswith(".weight") for name in state)


def _renamed(state: State, network: QNetwork, names: Mapping[str, str]) -> dict[str, Tensor]:
    """Copies of the tensors under our names; they must be just those of `network`."""
    theirs = {ours: name for name, ours in names.items()}
    result, known = {}, set()
    for name, wanted in network.state_dict().items():
        module, _, rest = name.partition(".")
        published = f"{theirs[module]}.{rest}"
        if published not in state:
            raise UserError(f"no tensor {published}")
        given = state[published]
        if given.shape != wanted.shape:
            raise UserError(
                f"tensor {published} is {list(given.shape)}, but the others ask for {list(wanted.shape)}"
            )
        if not torch.isfinite(given).all():
            raise UserError(f"tensor {published} has values that are not finite; the training diverged?")
        result[name] = given.detach().clone()
        known.add(published)
    if unknown := sorted(state.keys() - known):
        raise UserError(f"tensor {one_line(ascii(unknown[0]))} is not part of a {network.kind} network")
    return result


def _filled(network: QNetwork, state: State) -> QNetwork:
    with_memory(network).load_state_dict(state)
    return network
