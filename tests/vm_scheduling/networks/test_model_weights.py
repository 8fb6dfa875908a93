import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from pydantic import ValidationError

from spane_rllib.core.errors import UserError
from spane_rllib.learning import models as weights_module
from spane_rllib.problems.vm_scheduling.networks.registry import build_network
from spane_rllib.problems.vm_scheduling.networks.weights import (
    ModelMetadata,
    Normalisation,
    TraceIdentity,
    load_model,
    save_model,
)

METADATA = ModelMetadata(
    servers=5,
    normalisation=Normalisation(node_cpu=40, node_memory=90, double_memory_threshold=10),
    trace=TraceIdentity(name="synthetic", sha256="0" * 64),
    seed=3,
    metrics={"validation_wait": 12.5, "missing": None},
    training={"n_step": 50, "note": "ümlaut", "nested": {"list": [1, 2.5, None, True]}},
)


@pytest.fixture
def model(tmp_path):
    save_model(tmp_path / "model", build_network("spane", {}, 5, 3), METADATA)
    return tmp_path / "model"


@pytest.mark.parametrize(
    ("kind", "options"), [("spane", {}), ("spane", {"aggregations": ["max", "std"]}), ("mlp", {"depth": 3})]
)
def test_round_trip(tmp_path, kind, options):
    network = build_network(kind, options, 5, 3)
    save_model(tmp_path / "deep" / "model", network, METADATA)
    loaded, metadata = load_model(tmp_path / "deep" / "model")
    assert metadata == METADATA
    assert (loaded.kind, loaded.options()) == (network.kind, network.options())
    assert loaded.state_dict().keys() == network.state_dict().keys()
    for name, tensor in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)
    observation = {"servers": torch.rand(2, 5, 2, 2), "request": torch.rand(2, 3)}
    loaded(observation).sum().backward()  # it can be trained further


def test_saving_replaces_an_older_model(model):
    other = build_network("mlp", {}, 5, 9)
    save_model(model, other, METADATA)
    assert load_model(model)[0].kind == "mlp"
    assert sorted(path.name for path in model.iterdir()) == ["model.json", "weights.safetensors"]
    assert [path.name for path in model.parent.iterdir()] == ["model"]


def test_saving_leaves_other_folders_and_files_alone(tmp_path):
    network = build_network("spane", {}, 5, 3)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thesis.tex").write_text("precious")
    (tmp_path / "file").write_text("precious")
    for taken in ("notes", "file"):
        with pytest.raises(UserError, match="not a model folder"):
            save_model(tmp_path / taken, network, METADATA)
    assert (tmp_path / "notes" / "thesis.tex").read_text() == (tmp_path / "file").read_text() == "precious"
    with pytest.raises(UserError, match="cannot write"):
        save_model(tmp_path / "file" / "model", network, METADATA)


def test_a_failed_save_keeps_the_old_model(model, monkeypatch):
    before = (model / "weights.safetensors").read_bytes()
    rename = Path.rename

    def failing(self, target):
        if self.name == "new":
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(UserError, match="No space left"):
        save_model(model, build_network("spane", {}, 5, 4), METADATA)
    assert (model / "weights.safetensors").read_bytes() == before
    assert [path.name for path in model.parent.iterdir()] == ["model"]


def test_diverged_weights_are_not_saved(tmp_path):
    network = build_network("spane", {}, 5, 3)
    with torch.no_grad():
        network.value[0].weight[0, 0] = float("nan")
    with pytest.raises(UserError, match=r"value\.0\.weight has values that are not finite"):
        save_model(tmp_path / "model", network, METADATA)
    assert list(tmp_path.iterdir()) == []


def test_metadata_refuses_what_it_could_not_load():
    with pytest.raises(ValidationError, match="finite"):
        ModelMetadata(**dict(METADATA) | {"metrics": {"wait": float("nan")}})
    with pytest.raises(ValidationError, match="sha256"):
        TraceIdentity(name="a", sha256="ABC")


def edit_json(**changes):
    """Changes by dotted path; the value `...` removes the key."""

    def tamper(folder):
        data = json.loads((folder / "model.json").read_text())
        for path, value in changes.items():
            *parents, last = path.split("__")
            target = data
            for parent in parents:
                target = target[parent]
            if value is ...:
                del target[last]
            else:
                target[last] = value
        (folder / "model.json").write_text(json.dumps(data))

    return tamper


def test_a_model_of_format_version_1_plays_as_it_did(tmp_path):
    network = build_network("spane", {"aggregations": ["mean", "max", "std"]}, 5, 3)
    save_model(tmp_path / "model", network, METADATA)
    assert json.loads((tmp_path / "model" / "model.json").read_text())["format_version"] == 2
    edit_json(format_version=1, options__encoder_output=..., options__standard_deviation=...)(
        tmp_path / "model"
    )
    loaded, metadata = load_model(tmp_path / "model")
    servers, request = torch.arange(12.0).reshape(1, 3, 2, 2) / 12, torch.tensor([[0.25, 0.5, 1.0]])
    # What the version that wrote this format computed.
    expected = torch.tensor([[0.5180737, 0.8340567, 0.2185189, 0.5292383, -0.0917039, 0.5413742]])
    torch.testing.assert_close(loaded({"servers": servers, "request": request}), expected, atol=1e-6, rtol=0)
    assert (network({"servers": servers, "request": request}) - expected).abs().max() > 0.1

    save_model(tmp_path / "copy", loaded, metadata)
    again, _ = load_model(tmp_path / "copy")
    assert (again.encoder_rectified, again.correction) == (True, 0)
    assert torch.equal(
        again({"servers": servers, "request": request}), loaded({"servers": servers, "request": request})
    )


def test_a_network_of_format_version_1_plays_as_it_did():
    network, _ = load_model(Path(__file__).with_name("format_version_1"))
    servers, request = torch.arange(12.0).reshape(1, 3, 2, 2) / 12, torch.tensor([[0.25, 0.5, 1.0]])
    expected = torch.tensor([[-0.5018273, 0.3718640, -0.8217020, 0.2161292, -0.6885979, 0.1474751]])
    torch.testing.assert_close(network({"servers": servers, "request": request}), expected, atol=1e-5, rtol=0)


def edit_tensors(change):
    def tamper(folder):
        state = safetensors.torch.load_file(folder / "weights.safetensors")
        change(state)
        safetensors.torch.save_file(state, folder / "weights.safetensors")

    return tamper


def write(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def truncate(name, size):
    return lambda folder: os.truncate(folder / name, size)


def header(text, data=b""):
    return len(text).to_bytes(8, "little") + text + data


def set_value(state, value):
    state["server.0.bias"][2] = value


J, W = "model.json", "weights.safetensors"
TAMPERED = {
    "no json": (lambda folder: (folder / J).unlink(), "model.json: no such file"),
    "no weights": (lambda folder: (folder / W).unlink(), "weights.safetensors: no such file"),
    "folder for json": (lambda folder: ((folder / J).unlink(), (folder / J).mkdir()), "no such file"),
    "pipe for weights": (lambda folder: ((folder / W).unlink(), os.mkfifo(folder / W)), "no such file"),
    "empty json": (write(J, b""), "Invalid JSON"),
    "binary json": (write(J, b"\xff\xfe\x00"), "Invalid JSON"),
    "json of another shape": (write(J, b"[1, 2]"), "model.json: "),
    "deep json": (write(J, b'{"a":' * 100_000), "model.json: "),
    "truncated json": (truncate(J, 100), "Invalid JSON"),
    "huge json": (write(J, b" " * (2 << 20)), "larger than"),
    "huge number": (write(J, b'{"format_version": ' + b"9" * 5000 + b"}"), "number out of range"),
    "newer format": (edit_json(format_version=3), "format_version: must be 1 or 2, got 3"),
    "missing key": (edit_json(kind=...), "kind: missing"),
    "missing nested key": (edit_json(metadata__trace__sha256=...), "metadata.trace.sha256: missing"),
    "unknown key": (edit_json(pickle="x"), "pickle: unknown key"),
    "unknown key of two lines": (edit_json(**{"a\nb\x1b": 1}), r"'a\nb\x1b': unknown key"),
    "unknown nested key": (edit_json(metadata__normalisation__gpu=1), "normalisation.gpu: unknown key"),
    "number as text": (edit_json(metadata__servers="5"), "metadata.servers: must be a whole number, got '5'"),
    "truth as number": (edit_json(metadata__seed=True), "metadata.seed: must be a whole number, got True"),
    "no servers": (edit_json(metadata__servers=0), "metadata.servers: must be greater"),
    "zero capacity": (edit_json(metadata__normalisation__node_cpu=0), "node_cpu: must be greater"),
    "infinite capacity": (edit_json(metadata__normalisation__node_cpu=float("inf")), "node_cpu: must be"),
    "bad hash": (edit_json(metadata__trace__sha256="xyz"), "metadata.trace.sha256: must match"),
    "options no mapping": (edit_json(options=[1]), "options: must be a mapping"),
    "unknown kind": (edit_json(kind="os.system"), "unknown network kind 'os.system'"),
    "unknown option": (edit_json(options__layers=3), "options of network spane: layers: unknown key"),
    "absurd width": (edit_json(options__server_width=10**9), "server_width: must be less than or equal"),
    "largest network": (
        edit_json(options={"server_width": 1024, "server_depth": 64, "advantage_width": 1024}),
        "no tensor server.10.bias",
    ),
    "other width": (edit_json(options__value_width=9), "value.0.weight is F32 [8, 11]"),
    "other kind": (edit_json(kind="mlp", options={}), "no tensor advantage.bias"),
    "empty weights": (write(W, b""), "not a safetensors file or damaged"),
    "random weights": (write(W, bytes(range(256)) * 8), "not a safetensors file or damaged"),
    "a pickle": (write(W, b"\x80\x04\x95" + bytes(40)), "not a safetensors file or damaged"),
    "truncated weights": (truncate(W, 1000), "not a safetensors file or damaged"),
    "weights with a tail": (lambda f: (f / W).write_bytes((f / W).read_bytes() + b"x"), "or damaged"),
    "huge weights": (lambda f: os.truncate(f / W, 8 << 30), "larger than"),
    "header beyond the file": (write(W, (1 << 40).to_bytes(8, "little") + b"{}"), "not a safetensors file"),
    "header that is no json": (write(W, header(b"{not json")), "not a safetensors file"),
    "shape beyond the data": (
        write(W, header(b'{"a":{"dtype":"F32","shape":[1000000000],"data_offsets":[0,4]}}', b"1234")),
        "not a safetensors file",
    ),
    "missing tensor": (edit_tensors(lambda state: state.pop("value.2.bias")), "no tensor value.2.bias"),
    "extra tensor": (edit_tensors(lambda s: s.update({"a\nb": torch.zeros(1)})), r"tensor 'a\nb' is not"),
    "other type": (
        edit_tensors(lambda s: s.update({"value.2.bias": torch.zeros(1, dtype=torch.float64)})),
        "value.2.bias is F64 [1], but model.json asks for F32 [1]",
    ),
    "other shape": (edit_tensors(lambda s: s.update({"value.2.bias": torch.zeros(1, 1)})), "is F32 [1, 1]"),
    "not a number": (edit_tensors(lambda state: set_value(state, float("nan"))), "not finite"),
    "infinite": (edit_tensors(lambda state: set_value(state, float("-inf"))), "not finite"),
}  # fmt: skip


@pytest.mark.parametrize(("tamper", "message"), TAMPERED.values(), ids=TAMPERED)
def test_a_tampered_model_is_refused_in_one_line(model, tamper, message):
    tamper(model)
    with pytest.raises(UserError) as caught:
        load_model(model)
    text = str(caught.value)
    assert message in text and str(model) in text
    assert text.isprintable() and len(text) < 600 + len(str(model))


def test_sizes_in_the_json_do_not_allocate(model, monkeypatch):
    edit_json(options={"server_width": 1024, "server_depth": 64})(model)
    largest_read = []
    monkeypatch.setattr(torch.nn.Module, "to_empty", lambda *_, **__: pytest.fail("allocated"))
    read = weights_module._read
    monkeypatch.setattr(
        weights_module, "_read", lambda *args: largest_read.append(len(data := read(*args))) or data
    )
    with pytest.raises(UserError, match="no tensor"):
        load_model(model)
    assert max(largest_read) < 10_000


@pytest.mark.parametrize("place", ["nowhere", "model/model.json", "zero\0byte"])
def test_a_path_without_a_model(model, place):
    with pytest.raises(UserError, match="no such file"):
        load_model(model.parent / place)


def test_loading_needs_no_ray(model):
    code = (
        "import sys; from spane_rllib.problems.vm_scheduling.networks.weights import load_model\n"
        f"load_model({str(model)!r}); print(sorted(m for m in sys.modules if m.split('.')[0] == 'ray'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
