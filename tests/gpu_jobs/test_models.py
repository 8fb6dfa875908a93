"""Networks: sizes of the reference, equivariance, and its weights as models."""

from pathlib import Path

import pytest
import torch
from torch import nn

from spane_rllib import models
from spane_rllib.core.errors import UserError
from spane_rllib.evaluate import main as evaluate
from spane_rllib.problems.gpu_jobs.networks.modules import SetNetwork, build
from spane_rllib.problems.gpu_jobs.networks.options import PublishedOptions
from spane_rllib.problems.gpu_jobs.networks.published import read_published
from spane_rllib.problems.gpu_jobs.simulator.observation import OVERALL_FEATURES, SLOT_FEATURES, TYPE_FEATURES


@pytest.mark.parametrize(("kind", "parameters"), [("d3qn", 151_058), ("sac", 87_313)])
def test_networks_have_the_published_sizes(kind: str, parameters: int) -> None:
    network = build(kind, PublishedOptions(), 16, published=True)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert network({"published": torch.zeros(3, 66)}).shape == (3, 17)


@pytest.mark.parametrize("anchor", [0.0, 8.0])
def test_jobs_and_types_may_change_places(anchor: float) -> None:
    torch.manual_seed(0)
    network = SetNetwork(16, anchor)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)
    slots = torch.rand(5, 7, len(SLOT_FEATURES))
    slots[..., 0] = 1
    seen = {
        "slots": slots,
        "types": torch.rand(5, 3, len(TYPE_FEATURES)),
        "overall": torch.rand(5, len(OVERALL_FEATURES)),
    }
    order = torch.randperm(7)
    moved = {"slots": slots[:, order], "types": seen["types"][:, [2, 0, 1]], "overall": seen["overall"]}
    value, advantage = network.value_and_advantage(seen)
    other_value, other = network.value_and_advantage(moved)
    torch.testing.assert_close(other_value, value)
    torch.testing.assert_close(other[:, :-1], advantage[:, order])
    torch.testing.assert_close(other[:, -1], advantage[:, -1])


def published_sac(width: int = 8) -> dict[str, object]:
    """The layout of the reference's checkpoints."""
    torch.manual_seed(1)

    def net() -> dict[str, torch.Tensor]:
        sizes = [(66, width), (width, width), (width, 17)]
        layers = {f"net.{2 * at}": nn.Linear(*size) for at, size in enumerate(sizes)}
        return {
            f"{name}.{part}": getattr(layer, part).detach()
            for name, layer in layers.items()
            for part in ("weight", "bias")
        }

    names = ("actor_state_dict", "q1_state_dict", "q2_state_dict")
    return {**{name: net() for name in names}, "log_alpha": torch.tensor(-463.0)}


@pytest.mark.slow
def test_the_actor_of_a_checkpoint_plays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = published_sac()
    file = tmp_path / "sac_seed0_ep50.pt"
    torch.save(state, file)
    models.main(["import", str(file), "--problem", "gpu_jobs", "--output", str(tmp_path / "models")])
    assert "PublishedSac" in capsys.readouterr().out
    network, settings = read_published(file)
    assert settings.episode.slots == 16
    seen = torch.rand(4, 66)
    actor = state["actor_state_dict"]
    assert isinstance(actor, dict)
    hidden = torch.relu(seen @ actor["net.0.weight"].T + actor["net.0.bias"])
    hidden = torch.relu(hidden @ actor["net.2.weight"].T + actor["net.2.bias"])
    torch.testing.assert_close(
        network({"published": seen}), hidden @ actor["net.4.weight"].T + actor["net.4.bias"]
    )
    model = str(tmp_path / "models" / "sac_seed0_ep50")
    command = [
        "--problem",
        "gpu_jobs",
        "--jobs",
        "published:seconds=300",
        "--horizon",
        "300",
        "--policy",
        model,
    ]
    assert evaluate([*command, "--rules", "published", "--output", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "summary.csv").is_file()
    with pytest.raises(UserError, match="add --rules published"):
        evaluate(command)


def test_bad_checkpoints_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    for content, complaint in (
        (b"nothing", "not weights saved by torch"),
        ({"actor_state_dict": {"net.0.weight": torch.zeros(3)}}, "first layer"),
        ({"actor_state_dict": 3}, "no state dict"),
        (
            {"actor_state_dict": {**published_sac()["actor_state_dict"], "net.9.bias": torch.zeros(2)}},
            "not part",
        ),
    ):
        if isinstance(content, bytes):
            file.write_bytes(content)
        else:
            torch.save(content, file)
        with pytest.raises(UserError, match=complaint):
            read_published(file)
