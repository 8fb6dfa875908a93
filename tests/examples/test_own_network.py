"""`own_network.py`: built, trained, saved, loaded and played as the networks of the package are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from time_limits import COMMAND_S

from spane_rllib.core import plugins
from spane_rllib.core.errors import UserError
from spane_rllib.experiments.tuning.loading import load_experiment
from spane_rllib.problems.problem import Task
from spane_rllib.problems.vm_scheduling.networks.compiled import has_kernels
from spane_rllib.problems.vm_scheduling.settings import (
    ClusterSettings,
    SlotEvaluationSettings,
    TraceSettings,
)
from spane_rllib.problems.vm_scheduling.waits.problem import WAITS

KIND = "own_network:SlotNetwork"
EPISODES = SlotEvaluationSettings(episodes=3)


@pytest.fixture
def task(examples: Path) -> Task:
    trace = TraceSettings(source="synthetic", synthetic_vms=3000)
    return WAITS.load(WAITS.instance(trace=trace, cluster=ClusterSettings(servers=2)))


def save(task: Task, folder: Path, seed: int = 1) -> torch.nn.Module:
    network = task.build_network(KIND, {"width": 8}, seed)
    task.save_model(folder, network, seed=seed, metrics={}, training={})
    return network


def test_it_is_built_from_the_seed_alone(task: Task) -> None:
    before = torch.random.get_rng_state()
    one, same, other = (task.build_network(KIND, {"width": 8}, seed) for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    weights = [network.state_dict()["node.0.weight"] for network in (one, same, other)]
    assert weights[0].shape == (8, 7)
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    with pytest.raises(UserError, match=f"options of network {KIND}: width: must be less"):
        task.build_network(KIND, {"width": 5000}, 0)
    assert not has_kernels(one)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("class Network:\n    pass", "needs an attribute Options"),
        (
            "class Network:\n    class Options(Settings):\n        pass",
            "needs to be a subclass of torch.nn.Module",
        ),
        (
            "class Network(nn.Module):\n    class Options(Settings):\n        pass",
            "cannot be built: TypeError",
        ),
    ],
)
def test_what_is_no_network_is_refused(
    task: Task, source: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"no_network_{abs(hash(source))}"
    imports = "from torch import nn\nfrom spane_rllib.core.settings import Settings\n"
    (tmp_path / f"{name}.py").write_text(f"{imports}{source}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UserError, match=message):
        task.build_network(f"{name}:Network", {}, 0)


@pytest.mark.parametrize(
    ("algorithm", "settings"),
    [
        ("dqn", {"batch_size": 64, "warmup_episodes": 2, "n_step": 5}),
        ("ppo", {"batch_size": 256, "episodes_per_start": 1, "kl_limit": None}),
        ("sac", {"batch_size": 64, "warmup_episodes": 2}),
    ],
)
def test_it_is_trained_by_every_kind_of_algorithm(
    task: Task, algorithm: str, settings: dict[str, object]
) -> None:
    def weights() -> dict[str, torch.Tensor]:
        network = task.build_network(KIND, {"width": 8}, 1)
        hyper_parameters = WAITS.algorithms[algorithm](gradient_steps=2, lanes=2, **settings)
        run = task.begin_run(network, hyper_parameters, WAITS.validation(episodes=2, every=2), 0)
        assert np.isfinite(run.run_until(2)["validation_wait"])
        return network.state_dict()

    before, after, again = task.build_network(KIND, {"width": 8}, 1).state_dict(), weights(), weights()
    assert all(torch.equal(after[name], again[name]) for name in after)
    assert any(not torch.equal(after[name], before[name]) for name in after)


def test_a_saved_network_plays_as_it_did(task: Task, tmp_path: Path) -> None:
    network = save(task, tmp_path / "model")
    policy = task.load_policy(str(tmp_path / "model"), name="own")
    for name, tensor in network.state_dict().items():
        assert torch.equal(policy.network.state_dict()[name], tensor)  # type: ignore[attr-defined]
    evaluation = task.evaluation(EPISODES)
    part = evaluation.part(policy, 2)
    whole = evaluation.play(part, 0, 3)
    pieces = [evaluation.play(part, first, first + 1) for first in range(3)]
    pd.testing.assert_frame_equal(pd.concat(pieces, ignore_index=True), whole)
    assert (whole["total_wait_s"] >= whole["lower_bound_s"]).all()
    [file] = evaluation.record([policy], tmp_path / "recordings", 1)
    assert file.is_file()


def test_the_rollouts_and_the_policy_play_alike(task: Task, tmp_path: Path) -> None:
    network = save(task, tmp_path / "model")
    policy = task.load_policy(str(tmp_path / "model"))
    settings = WAITS.algorithms["dqn"](gradient_steps=1, lanes=2)
    run = task.begin_run(network, settings, WAITS.validation(episodes=3, trim=0.0, every=1), 0)
    validated = run.rollouts.validate(network)["validation_wait"]
    evaluation = task.evaluation(SlotEvaluationSettings(episodes=3, split="validation"))
    assert evaluation.play(evaluation.part(policy, 2), 0, 3)["total_wait_s"].mean() == pytest.approx(
        validated
    )


def test_a_network_may_be_made_for_one_number_of_servers(task: Task, tmp_path: Path) -> None:
    save(task, tmp_path / "model")
    policy = task.load_policy(str(tmp_path / "model"))
    assert policy.accepts(7)  # type: ignore[attr-defined]
    policy.network.fixed_servers = 2  # type: ignore[attr-defined]
    assert not policy.accepts(7) and policy.accepts(2)  # type: ignore[attr-defined]


def test_a_file_does_not_decide_what_code_is_run(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, mark = tmp_path / "model", tmp_path / "was run"
    save(task, folder)
    source = f"import pathlib\npathlib.Path({str(mark)!r}).touch()\nfrom own_network import SlotNetwork\n"
    (tmp_path / "of_a_stranger.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    data = json.loads((folder / "model.json").read_text())
    data["kind"] = kind = "of_a_stranger:SlotNetwork"
    (folder / "model.json").write_text(json.dumps(data))
    with pytest.raises(UserError, match=f"allow it: SPANE_RLLIB_PLUGINS={kind}") as caught:
        task.load_policy(str(folder))
    assert str(folder) in str(caught.value) and not mark.exists()

    monkeypatch.setenv(plugins.ALLOWED, f"{KIND},{kind}")
    task.load_policy(str(folder))
    assert mark.exists()
    monkeypatch.delenv(plugins.ALLOWED)
    task.load_policy(str(folder))  # named in this process


def test_a_very_long_kind_is_refused_in_one_line(task: Task, tmp_path: Path) -> None:
    save(task, tmp_path / "model")
    data = json.loads((tmp_path / "model" / "model.json").read_text())
    (tmp_path / "model" / "model.json").write_text(json.dumps(data | {"kind": "a" * 100_000 + ":B"}))
    with pytest.raises(UserError) as caught:
        task.load_policy(str(tmp_path / "model"))
    assert len(str(caught.value)) < 1200 + len(str(tmp_path))


def test_the_configuration_knows_its_options() -> None:
    assert load_experiment("own_network.yaml").methods["own"].network == KIND
    for override, message in (
        ("methods.own.options.depth=2", "methods.own.options.depth: unknown key; .*allowed: width"),
        ("methods.own.network=own_network:Missing", "own_network has no Missing"),
    ):
        with pytest.raises(UserError, match=message):
            load_experiment("own_network.yaml", [override])


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_the_main_job_trains_and_evaluates_it(tmp_path: Path, examples: Path) -> None:
    import os
    import subprocess
    import sys

    small = [
        *("trace.synthetic_vms=3000", "cluster.servers=2", "evaluation.episodes=4"),
        *(f"methods.{name}.training.gradient_steps=10" for name in ("own", "spane")),
    ]
    overrides = [word for text in (f"output={tmp_path}", *small) for word in ("--set", text)]
    done = subprocess.run(
        [sys.executable, "-m", "spane_rllib.tune", "own_network.yaml", *overrides],
        cwd=examples,
        env={**os.environ, "PYTHONPATH": str(examples.parent), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
    )
    assert done.returncode == 0, done.stderr
    policies = pd.read_csv(tmp_path / "own_network" / "summary.csv")["policy"].tolist()
    assert sorted(policies) == ["first-fit", "own-0000", "random", "spane-0000"]
