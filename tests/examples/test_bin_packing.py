"""The toy problem, a folder of its own, through everything that a problem gets without further code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pandas as pd
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from time_limits import COMMAND_S

from spane_rllib.__main__ import main
from spane_rllib.core.errors import UserError
from spane_rllib.experiments.tuning.loading import load_experiment
from spane_rllib.problems import registry
from spane_rllib.problems.environment_problem import EnvironmentProblem
from spane_rllib.problems.environment_task import EnvironmentTask
from spane_rllib.problems.problem import EpisodeSettings, ValidationSettings
from spane_rllib.problems.registry import find_problem, problem_of_environment

NAME = "bin_packing.problem:BIN_PACKING"
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def problem(examples: Path) -> EnvironmentProblem:
    found = find_problem(NAME)
    assert isinstance(found, EnvironmentProblem)
    return found


@pytest.fixture
def task(problem: EnvironmentProblem) -> EnvironmentTask:
    return problem.load(problem.instance(items=10))


def played(task: EnvironmentTask, *policies: str, episodes: int = 30) -> pd.DataFrame:
    evaluation = task.evaluation(EpisodeSettings(episodes=episodes))
    parts = [evaluation.part(task.load_policy(policy), task.case) for policy in policies]
    return pd.concat([evaluation.play(part, 0, episodes) for part in parts], ignore_index=True)


def test_the_environment_is_one_that_gymnasium_accepts(task: EnvironmentTask) -> None:
    check_env(task.make(), skip_render_check=True)
    assert gymnasium.make("BinPacking-v0", items=3).unwrapped.items == 3  # type: ignore[attr-defined]
    assert problem_of_environment("BinPacking-v0") is task.problem


def test_an_episode_by_hand(problem: EnvironmentProblem) -> None:
    environment = problem.load(problem.instance(items=3, smallest=60, largest=60)).make()
    observation, info = environment.reset(seed=0)
    rewards = []
    while info["bins"] < 3:
        assert observation["item"] == np.float32(0.6)
        assert observation["action_mask"].tolist() == [int(info["bins"] <= each) for each in range(3)]
        observation, reward, terminated, _, info = environment.step(info["bins"])
        rewards.append(reward)
    assert rewards == [-1, -1, -1] and terminated


def test_training_validation_and_evaluation_share_no_seed(task: EnvironmentTask) -> None:
    settings = task.problem.algorithms["ppo"](gradient_steps=1)
    run = task.begin_run(task.build_network("shared", {}, 0), settings, ValidationSettings(), 0)
    training = [each["seed"] for each in run.rollouts.draw_starts(np.random.default_rng(0), 1000)]
    validation = [each["seed"] for each in run.rollouts._validation]  # type: ignore[attr-defined]
    evaluation = task.evaluation(EpisodeSettings()).pairs.tolist()
    assert max(training) < min(validation) and max(validation) < min(evaluation)
    assert len(set(evaluation)) == 1000
    with pytest.raises(UserError, match="give a number in place of all"):
        task.evaluation(EpisodeSettings(episodes="all"))


def test_baselines_play_the_episodes_of_validation(task: EnvironmentTask) -> None:
    validation = ValidationSettings(episodes=20, every=8)
    values = task.validate_baselines(["random", "best-fit"], validation)
    assert list(values) == ["random", "best-fit"] and values["best-fit"] < values["random"]
    assert values == task.validate_baselines(["random", "best-fit"], validation)
    assert values != task.validate_baselines(
        ["random", "best-fit"], validation.model_copy(update={"seed": 1})
    )


def test_baselines_are_told_apart_and_a_part_is_the_same_in_pieces(task: EnvironmentTask) -> None:
    whole = played(task, *task.problem.baselines)
    assert {name: kind for name, kind in task.problem.episode_columns.items() if name in whole} == dict(
        zip(whole.columns, (str, int, int, int, float, float), strict=True)
    )
    mean = whole.groupby("policy")["bins"].mean()
    assert mean["best-fit"] <= mean["first-fit"] < mean["random"] - 1
    assert (whole["return"] == -whole["bins"]).all() and (whole["decisions"] == 10).all()
    evaluation = task.evaluation(EpisodeSettings(episodes=30))
    part = evaluation.part(task.load_policy("random"), 10)
    pieces = [evaluation.play(part, first, first + 10) for first in (0, 10, 20)]
    expected = whole[whole["policy"] == "random"].reset_index(drop=True)
    pd.testing.assert_frame_equal(pd.concat(pieces, ignore_index=True), expected)


def test_part_keys_tell_policies_cases_and_episodes_apart(task: EnvironmentTask) -> None:
    keys = set()
    for settings in (
        EpisodeSettings(episodes=5),
        EpisodeSettings(episodes=6),
        EpisodeSettings(episodes=5, seed=1),
    ):
        evaluation = task.evaluation(settings, cases=[10, 12])
        keys |= {
            evaluation.part(task.load_policy(policy), case).key
            for policy in ("first-fit", "random")
            for case in evaluation.cases
        }
    assert len(keys) == 12


def test_the_values_change_places_with_the_bins(task: EnvironmentTask) -> None:
    network = task.build_network("shared", {"width": 8}, 3)
    bins, item = torch.rand(2, 5, 2), torch.rand(2, 1)
    order = torch.tensor([3, 0, 4, 1, 2])
    values = network({"bins": bins, "item": item})
    torch.testing.assert_close(network({"bins": bins[:, order], "item": item}), values[:, order])


def test_weights_are_decided_by_the_seed_alone(task: EnvironmentTask) -> None:
    before = torch.random.get_rng_state()
    one, same, other = (task.build_network("shared", {}, seed) for seed in (3, 3, 4))
    assert torch.equal(before, torch.random.get_rng_state())
    name = "bin.0.weight"
    assert torch.equal(one.state_dict()[name], same.state_dict()[name])
    assert not torch.equal(one.state_dict()[name], other.state_dict()[name])


@pytest.fixture
def trained(task: EnvironmentTask, tmp_path: Path) -> Path:
    settings = task.problem.algorithms["ppo"](gradient_steps=24, batch_size=256, learning_rate=0.005)
    network = task.build_network("shared", {"width": 16}, 0)
    run = task.begin_run(network, settings, ValidationSettings(episodes=20, every=8), 0)
    run.run_until(24)
    task.save_model(tmp_path / "model", run.best_network(), seed=0, metrics=run.best_metrics(), training={})
    return tmp_path / "model"


def test_ppo_beats_random_soon_and_its_model_can_be_loaded(task: EnvironmentTask, trained: Path) -> None:
    mean = played(task, str(trained), "random").groupby("policy")["bins"].mean()
    assert mean[str(trained)] < mean["random"] - 0.8
    larger = task.evaluation(EpisodeSettings(episodes=2), cases=[14])
    assert larger.refusal(task.load_policy(str(trained)), 14) == ""  # any number of bins


def test_a_network_for_one_size_is_refused_for_others(
    task: EnvironmentTask, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bin_packing.network import BinNetwork

    monkeypatch.setattr(BinNetwork, "any_case", False)
    policy = task.load_policy(str(trained))
    evaluation = task.evaluation(EpisodeSettings(episodes=2), cases=[10, 14])
    assert evaluation.refusal(policy, 10) == ""
    assert evaluation.refusal(policy, 14) == "was made for items 10, not 14"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("metadata", "problem"), "other", "a model of the problem 'other', not bin_packing"),
        (("metadata", "instance", "items"), 0, "metadata.instance: items: must be greater"),
        (("kind",), "other", "unknown network kind 'other'"),
        (("kind",), "stranger:Network", "allow it: SPANE_RLLIB_PLUGINS=stranger:Network"),
        (("options", "width"), 32, "bin.0.weight is F32 [16, 4], but model.json asks for F32 [32, 4]"),
        (("options", "width"), 10**6, "options of network shared: width: must be less"),
    ],
)
def test_a_tampered_model_is_refused(
    task: EnvironmentTask, tmp_path: Path, path: tuple[str, ...], value: Any, message: str
) -> None:
    folder = tmp_path / "model"
    network = task.build_network("shared", {"width": 16}, 0)
    task.save_model(folder, network, seed=0, metrics={}, training={})
    file = folder / "model.json"
    data = json.loads(file.read_text())
    section = data
    for key in path[:-1]:
        section = section[key]
    section[path[-1]] = value
    file.write_text(json.dumps(data))
    with pytest.raises(UserError) as caught:
        task.load_policy(str(folder))
    assert message in str(caught.value) and str(folder) in str(caught.value)


def test_an_infeasible_action_is_refused_by_name(
    task: EnvironmentTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "careless.py").write_text("class Last:\n    def act(self, observation):\n        return 99\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UserError, match="policy careless:Last: chose 99"):
        played(task, "careless:Last")
    with pytest.raises(UserError, match="neither a baseline"):
        task.load_policy("worst-fit")


def test_evaluate_and_compare(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    options = ("--problem", NAME, "--items", "6", "--items", "8", "--episodes", "20")
    assert (
        main(["evaluate", *options, "--policy", "best-fit", "--policy", "random", "--output", str(tmp_path)])
        == 0
    )
    summary = pd.read_csv(tmp_path / "summary.csv")
    assert summary["items"].tolist() == [6, 6, 8, 8] and (summary["episodes"] == 20).all()
    assert main(["compare", "best-fit", "random", *options]) == 0
    assert "best-fit is better by mean bins used" in capsys.readouterr().out
    for wrong, message in (
        (("--items", "0"), "items: must be greater than or equal to 1, got 0"),
        (("--smallest", "x"), "smallest: must be a whole number, got 'x'"),
        (("--smallest", "50", "--largest", "20"), "smallest 50 exceeds largest 20"),
    ):
        assert main(["evaluate", "--problem", NAME, *wrong, "--policy", "random"]) == 2
        assert message in capsys.readouterr().err


def test_the_configuration_is_checked_before_anything_starts() -> None:
    assert load_experiment("bin_packing/bin_packing.yaml").about.name == "bin_packing"
    for override, message in (
        ("items=0", "items: must be greater"),
        ("evaluation.heuristics=[worst-fit]", "evaluation.heuristics: 'worst-fit' is unknown"),
        ("methods.ppo.network=spane", "network 'spane' is unknown"),
    ):
        with pytest.raises(UserError, match=message):
            load_experiment("bin_packing/bin_packing.yaml", [override])


def run(*arguments: object, cwd: Path, path: tuple[Path, ...] = ()) -> subprocess.CompletedProcess[str]:
    python_path = os.pathsep.join(map(str, (REPOSITORY, *path)))
    return subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": python_path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
    )


def test_a_package_offers_the_problem_by_name(tmp_path: Path, examples: Path) -> None:
    """An installed package is its modules and a dist-info folder with the entry points."""
    project = tomllib.loads((examples / "own_problem_package" / "pyproject.toml").read_text())["project"]
    information = tmp_path / f"bin_packing_problem-{project['version']}.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 0.1\n")
    [(group, points)] = project["entry-points"].items()
    lines = [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
    (information / "entry_points.txt").write_text("\n".join(lines) + "\n")
    command = ("spane_rllib.evaluate", "--problem", "bin_packing", "--items", 5, "--episodes", 4)
    done = run(*command, "--policy", "best-fit", cwd=tmp_path, path=(tmp_path, examples))
    assert done.returncode == 0, done.stderr
    assert "best-fit" in done.stdout
    unknown = run(*command, "--policy", "best-fit", cwd=examples)
    assert unknown.returncode == 2 and "no problem is called 'bin_packing'" in unknown.stderr


def test_a_broken_package_stops_only_what_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = {"broken": EntryPoint("broken", "no_such_module:PROBLEM", registry.GROUP)}
    offered = registry._offered()
    monkeypatch.setattr(registry, "_offered", lambda: broken | offered)
    assert problem_of_environment("spane_rllib/VMScheduling-v0").name == "vm_scheduling"
    with pytest.raises(UserError, match="problem broken: cannot be loaded"):
        find_problem("broken")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_from_yaml_to_a_report_and_again(tmp_path: Path, examples: Path) -> None:
    file = examples / "bin_packing" / "bin_packing.yaml"
    done = run("spane_rllib.tune", file, "--set", f"output={tmp_path}", cwd=examples)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "bin_packing"
    summary = pd.read_csv(folder / "summary.csv").set_index("policy")["mean"]
    [trained] = summary.index.difference(["first-fit", "best-fit", "random"])
    assert summary[trained] < summary["random"] - 2
    report = (folder / "report.md").read_text(encoding="utf-8")
    assert "Items into equal bins" in report and "## Method ppo" in report
    for figure in ("training_curves", "hyperparameters_ppo", "evaluation"):
        assert (folder / "figures" / f"{figure}.png").stat().st_size > 5000
        assert f"(figures/{figure}.png)" in report

    tables = {name: data for name, data in contents(folder).items() if name.endswith("s.csv")}
    parts = sorted((folder / "parts").iterdir())
    parts[0].unlink()
    again = run("spane_rllib.tune", "--resume", folder, cwd=examples)
    assert again.returncode == 0, again.stderr
    for name in ("episodes.csv", "summary.csv", "trials.csv"):
        if name in tables:
            assert (folder / name).read_bytes() == tables[name], name
    assert sorted((folder / "parts").iterdir()) == parts

    model = folder / "models" / "ppo" / trained
    options = ("--problem", NAME, "--items", 30, "--episodes", 20, "--workers", 2)
    done = run("spane_rllib.evaluate", *options, "--policy", model, "--policy", "random", cwd=examples)
    assert done.returncode == 0, done.stderr
