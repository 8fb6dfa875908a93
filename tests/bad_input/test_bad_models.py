"""Model folders that were tampered with, through `evaluate`; nothing in one is trusted."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from refusals import Refuse

Tamper = Callable[[Path], object]
J, W = "model.json", "weights.safetensors"


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from spane_rllib.problems.vm_scheduling.networks.registry import build_network
    from spane_rllib.problems.vm_scheduling.networks.weights import (
        ModelMetadata,
        Normalisation,
        TraceIdentity,
        save_model,
    )

    metadata = ModelMetadata(
        servers=5,
        normalisation=Normalisation(node_cpu=40, node_memory=90, double_memory_threshold=10),
        trace=TraceIdentity(name="synthetic", sha256="0" * 64),
        seed=0,
    )
    folder = tmp_path_factory.mktemp("models") / "model"
    save_model(folder, build_network("mlp", {"width": 4, "depth": 1}, 5, 0), metadata)
    return folder


@pytest.fixture
def model(intact: Path, place: Path) -> Path:
    shutil.copytree(intact, place / "model")
    return place / "model"


def edit(*path: str, value: Any) -> Tamper:
    def tamper(folder: Path) -> None:
        data = json.loads((folder / J).read_text())
        section = data
        for key in path[:-1]:
            section = section[key]
        section[path[-1]] = value
        (folder / J).write_text(json.dumps(data))

    return tamper


def write(name: str, content: bytes) -> Tamper:
    return lambda folder: (folder / name).write_bytes(content)


def relabel(old: bytes, new: bytes) -> Tamper:
    """Replace text of equal length in the header of the weights."""
    assert len(old) == len(new)

    def tamper(folder: Path) -> None:
        content = (folder / W).read_bytes()
        assert old in content
        (folder / W).write_bytes(content.replace(old, new, 1))

    return tamper


def pipe(folder: Path) -> None:
    (folder / J).unlink()
    os.mkfifo(folder / J)


def header(text: bytes, data: bytes = b"") -> bytes:
    return len(text).to_bytes(8, "little") + text + data


TAMPERED: dict[str, tuple[Tamper, str]] = {
    "json deleted": (lambda folder: (folder / J).unlink(), f"{J}: no such file"),
    "weights deleted": (lambda folder: (folder / W).unlink(), f"{W}: no such file"),
    "a pipe": (pipe, f"{J}: no such file"),
    "json empty": (write(J, b""), "Invalid JSON"),
    "json cut": (lambda folder: os.truncate(folder / J, 60), "Invalid JSON"),
    "json a list": (write(J, b"[]"), f"{J}: "),
    "json endless": (write(J, b"[" * 1_000_000), f"{J}: "),
    "json huge": (write(J, b" " * 2_000_000), "larger than 1,048,576 bytes"),
    "json not UTF-8": (write(J, b'{"kind": "\xff"}'), "Invalid JSON"),
    "newer format": (edit("format_version", value=3), "format_version: must be 1 or 2, got 3"),
    "unknown network": (edit("kind", value="transformer"), "unknown network kind 'transformer'"),
    "lies about the kind": (edit("kind", value="spane"), "options of network spane: "),
    "lies about the width": (edit("options", "width", value=5), "F32"),
    "lies about the depth": (edit("options", "depth", value=3), "no tensor"),
    "lies about the servers": (edit("metadata", "servers", value=6), "F32"),
    "servers as text": (edit("metadata", "servers", value="5"), "metadata.servers: must be a whole number"),
    "no servers": (edit("metadata", "servers", value=0), "metadata.servers: must be greater"),
    "absurd servers": (edit("metadata", "servers", value=10**9), "from 1 to 4096, got 1000000000"),
    "absurd width": (edit("options", "width", value=10**9), "width: must be less than or equal to"),
    "zero capacity": (edit("metadata", "normalisation", "node_cpu", value=0), "node_cpu: must be greater"),
    "no hash": (edit("metadata", "trace", "sha256", value="abc"), "metadata.trace.sha256: must match"),
    "unknown key": (edit("optoins", value={}), "optoins: unknown key; did you mean options?"),
    "weights empty": (write(W, b""), "not a safetensors file or damaged"),
    "weights cut": (lambda folder: os.truncate(folder / W, 400), "not a safetensors file or damaged"),
    "weights a pickle": (write(W, b"\x80\x04\x95" + bytes(64)), "not a safetensors file or damaged"),
    "huge header": (write(W, (1 << 62).to_bytes(8, "little") + b"{}"), "not a safetensors file or damaged"),
    "huge file": (lambda folder: os.truncate(folder / W, 1 << 36), "larger than"),
    "header no json": (write(W, header(b"nonsense")), "not a safetensors file or damaged"),
    "data beyond the end": (
        write(W, header(b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}', b"1234")),
        "not a safetensors file or damaged",
    ),
    "overlapping data": (
        write(
            W,
            header(
                b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
                b'"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
                b"1234",
            ),
        ),
        "not a safetensors file or damaged",
    ),
    "no tensors": (write(W, header(b"{}")), "no tensor"),
    "another number type": (relabel(b'"F32"', b'"I32"'), "is I32"),
    "a tensor renamed": (relabel(b"advantage.bias", b"advantage.bits"), "no tensor advantage.bias"),
    "not a number": (
        lambda folder: (folder / W).write_bytes((folder / W).read_bytes()[:-4] + b"\x00\x00\xc0\x7f"),
        "has values that are not finite",
    ),
}


@pytest.mark.parametrize(("tamper", "expected"), TAMPERED.values(), ids=TAMPERED)
def test_tampered_model(refuse: Refuse, model: Path, tamper: Tamper, expected: str) -> None:
    tamper(model)
    line = refuse("evaluate", "--trace", "synthetic:vms=300", "--policy", "model", "--output", "out")
    assert expected in line
    assert "model/" in line


def test_a_model_for_another_number_of_servers(refuse: Refuse, model: Path) -> None:
    arguments = ("--trace", "synthetic:vms=300", "--policy", "model", "--servers", "9")
    assert "policy model: was made for another number of servers than 9" in refuse("evaluate", *arguments)
