"""Files that `models import` must refuse; nothing in one is trusted, and nothing is written."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from refusals import Refuse

State = dict[str, Any]
Write = Callable[[Path], object]

NAMES = {
    "spane": {"server": "server_embedding", "value": "value_layers", "advantage": "adv_layers"},
    "mlp": {"trunk": "fc", "value": "value", "advantage": "adv"},
}


class Attack:
    """Would write a file when unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch attacked",)


def state_of(kind: str = "spane", **options: Any) -> State:
    """A published state dict of that network."""
    from spane_rllib.problems.vm_scheduling.networks.registry import build_network

    network = build_network(kind, options, 5, seed=0)
    names = NAMES[kind]
    return {
        ".".join([names[name.split(".")[0]], *name.split(".")[1:]]): tensor
        for name, tensor in network.state_dict().items()
    }


def saved(make: Callable[[], Any]) -> Write:
    def write(path: Path) -> None:
        import torch

        torch.save(make(), path)

    return write


def spane(change: Callable[[State], object], **options: Any) -> Write:
    def make() -> State:
        state = state_of(**options)
        change(state)
        return state

    return saved(make)


def set_tensor(name: str, make: Callable[[Any], Any]) -> Callable[[State], None]:
    """Replace a tensor by what `make` makes of torch."""

    def change(state: State) -> None:
        import torch

        state[name] = make(torch)

    return change


def truncated(path: Path) -> None:
    saved(state_of)(path)
    os.truncate(path, path.stat().st_size // 2)


def bomb(path: Path) -> None:
    """A small archive that unpacks to more than a network can have."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/data/0", bytes(65 << 20))


def other_archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/readme", "nothing")


def module() -> Any:
    import torch

    return torch.nn.Linear(4, 8)


def bare_tensor() -> Any:
    import torch

    return torch.zeros(3)


def own_names() -> State:
    from spane_rllib.problems.vm_scheduling.networks.registry import build_network

    return dict(build_network("spane", {}, 5, seed=0).state_dict())


NO_STATE_DICT = "not a state dict of torch, or damaged; a file of more than tensors is not read"
FILES: dict[str, tuple[Write, str]] = {
    "a folder": (lambda path: path.mkdir(), "Is a directory"),
    "a pipe": (os.mkfifo, "it is a pipe"),
    "empty": (lambda path: path.write_bytes(b""), NO_STATE_DICT),
    "text": (lambda path: path.write_text("vmid,cpu,mem\n"), NO_STATE_DICT),
    "truncated": (truncated, NO_STATE_DICT),
    "another archive": (other_archive, NO_STATE_DICT),
    "half an archive": (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(100)), NO_STATE_DICT),
    "a bomb": (bomb, "larger than 67,108,864 bytes"),
    "huge": (lambda path: (path.touch(), os.truncate(path, 1 << 36)), "larger than 67,108,864 bytes"),
    "a pickled module": (saved(module), NO_STATE_DICT),
    "an attack": (saved(lambda: {"server_embedding.0.weight": Attack()}), NO_STATE_DICT),
    "a bare attack": (lambda path: path.write_bytes(pickle.dumps(Attack())), NO_STATE_DICT),
    "a tensor": (saved(bare_tensor), "not a state dict, which maps names to tensors"),
    "a list": (saved(lambda: [bare_tensor()]), "not a state dict, which maps names to tensors"),
    "names that are numbers": (saved(lambda: {0: bare_tensor()}), NO_STATE_DICT),
    "a checkpoint": (saved(lambda: {"model": state_of()}), "'model' is no plain float32 tensor"),
    "a number": (spane(lambda state: state.update({"a\nb": 3})), r"'a\nb' is no plain float32 tensor"),
    "no tensors": (saved(dict), "neither a SPANE (server_embedding, value_layers, adv_layers) nor an MLP"),
    "our own names": (saved(own_names), "neither a SPANE"),
    "a tensor missing": (spane(lambda state: state.pop("adv_layers.2.bias")), "no tensor adv_layers.2.bias"),
    "a head missing": (
        spane(lambda state: state.pop("value_layers.0.weight")),
        "no tensor value_layers.0.wei",
    ),
    "a layer missing": (
        spane(lambda state: [state.pop(f"value_layers.0.{kind}") for kind in ("weight", "bias")]),
        "no tensor value_layers.0.weight",
    ),
    "a tensor too many": (
        spane(set_tensor("attention.0.weight", lambda torch: torch.zeros(2, 2))),
        "tensor 'attention.0.weight' is not part of a spane network",
    ),
    "another shape": (
        spane(set_tensor("value_layers.2.weight", lambda torch: torch.zeros(2, 8))),
        "tensor value_layers.2.weight is [2, 8], but the others ask for [1, 8]",
    ),
    "advantages of the server alone": (
        spane(set_tensor("adv_layers.0.weight", lambda torch: torch.zeros(16, 8))),
        "tensor adv_layers.0.weight is [16, 8], but the others ask for [16, 19]",
    ),
    "a vector for a matrix": (
        spane(set_tensor("server_embedding.0.weight", lambda torch: torch.zeros(8))),
        "tensor server_embedding.0.weight has 1 dimensions, not 2",
    ),
    "half an aggregation": (
        spane(set_tensor("value_layers.0.weight", lambda torch: torch.zeros(8, 15))),
        "tensor value_layers.0.weight has 15 columns",
    ),
    "four aggregations": (
        spane(set_tensor("value_layers.0.weight", lambda torch: torch.zeros(8, 35))),
        "value_layers.0.weight has 35 columns, but 8 for each of 1 to 3 aggregations and 3 for the request",
    ),
    "no cluster": (
        spane(set_tensor("value_layers.0.weight", lambda torch: torch.zeros(8, 3))),
        "value_layers.0.weight has 3 columns",
    ),
    "nothing at all": (
        spane(set_tensor("server_embedding.0.weight", lambda torch: torch.zeros(0, 4))),
        "value_layers.0.weight has 11 columns",
    ),
    "absurd width": (
        spane(
            lambda state: (
                set_tensor("server_embedding.0.weight", lambda torch: torch.zeros(1, 1).expand(10**9, 4))(
                    state
                ),
                set_tensor("value_layers.0.weight", lambda torch: torch.zeros(1, 1).expand(8, 10**9 + 3))(
                    state
                ),
            )
        ),
        "server_width: must be less than or equal to 1024, got 1000000000",
    ),
    "double precision": (
        spane(set_tensor("value_layers.2.bias", lambda torch: torch.zeros(1, dtype=torch.float64))),
        "'value_layers.2.bias' is no plain float32 tensor",
    ),
    "sparse": (
        spane(set_tensor("value_layers.2.bias", lambda torch: torch.ones(1).to_sparse())),
        "'value_layers.2.bias' is no plain float32 tensor",
    ),
    "without memory": (
        spane(set_tensor("value_layers.2.bias", lambda torch: torch.zeros(1, device="meta"))),
        "'value_layers.2.bias' is no plain float32 tensor",
    ),
    "not a number": (
        spane(set_tensor("value_layers.2.bias", lambda torch: torch.full((1,), float("nan")))),
        "tensor value_layers.2.bias has values that are not finite",
    ),
    "two aggregations": (
        saved(lambda: state_of(aggregations=["mean", "max"])),
        "joins two aggregations; say which, in their order, as in --aggregations mean,max",
    ),
    "an mlp of half a server": (
        saved(lambda: state_of("mlp") | {"adv.weight": state_of("mlp")["adv.weight"][:9]}),
        "tensor fc.0.weight is [32, 23], but the others ask for [32, 19]",
    ),
    "an mlp of unequal widths": (
        saved(lambda: state_of("mlp") | {"fc.2.weight": state_of("mlp")["fc.2.weight"][:9]}),
        "tensor fc.2.weight is [9, 32], but the others ask for [32, 32]",
    ),
    "an mlp without a head": (
        saved(lambda: {"fc.0.weight": state_of("mlp")["fc.0.weight"]}),
        "no tensor adv.weight",
    ),
    "an mlp without hidden layers": (
        saved(lambda: {name: state_of("mlp")[name] for name in ("fc.0.weight", "adv.weight")}),
        "depth: must be greater than or equal to 1, got 0",
    ),
}


@pytest.mark.parametrize(("write", "expected"), FILES.values(), ids=FILES)
def test_bad_weights(
    refuse: Refuse, place: Path, recwarn: pytest.WarningsRecorder, write: Write, expected: str
) -> None:
    write(place / "model.th")
    recwarn.clear()
    line = refuse("models", "import", "model.th")
    assert not recwarn.list
    assert "model.th: " in line
    assert expected in line


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        ("spane", "mean,max", "model.th: joins 1 of the aggregations, but --aggregations names 2"),
        ("spane", "median", "aggregations.0: must be 'mean', 'max' or 'std', got 'median'"),
        ("spane", "", "aggregations.0: must be 'mean', 'max' or 'std', got ''"),
        ("mlp", "mean", "model.th: an MLP has no aggregations; leave out --aggregations"),
    ],
)
def test_aggregations_that_do_not_fit(
    refuse: Refuse, place: Path, kind: str, given: str, expected: str
) -> None:
    saved(lambda: state_of(kind))(place / "model.th")
    assert expected in refuse("models", "import", "model.th", "--aggregations", given)


def test_repeated_aggregations(refuse: Refuse, place: Path) -> None:
    saved(lambda: state_of(aggregations=["mean", "max"]))(place / "model.th")
    line = refuse("models", "import", "model.th", "--aggregations", "max,max")
    assert "must not repeat an item, got ['max', 'max']" in line


def test_one_bad_file_leaves_nothing_of_the_others(refuse: Refuse, place: Path) -> None:
    saved(state_of)(place / "good.th")
    (place / "bad.th").write_text("nothing")
    assert "bad.th: not a state dict" in refuse("models", "import", "good.th", "bad.th", "--output", "out")


def test_a_model_is_not_replaced(refuse: Refuse, place: Path) -> None:
    from spane_rllib.__main__ import main

    saved(state_of)(place / "good.th")
    assert main(["models", "import", "good.th"]) == 0
    assert "models/good exists already; give another --output" in refuse("models", "import", "good.th")
