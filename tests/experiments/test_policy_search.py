"""`python -m spane_rllib.search`: the family of scores, the cost, and the job from start to resume."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from spane_rllib.__main__ import main
from spane_rllib.datasets.vm_traces.loading import load_trace
from spane_rllib.experiments.results import identity
from spane_rllib.problems.vm_scheduling.networks.weights import load_model
from spane_rllib.problems.vm_scheduling.policies import ScorePolicy, load_policy
from spane_rllib.problems.vm_scheduling.score_search.search import (
    COORDINATES,
    ScoreFamily,
    ScoreSearch,
    draw_windows,
    relative_cost,
)
from spane_rllib.problems.vm_scheduling.score_search.task import ScoreSearchTask
from spane_rllib.problems.vm_scheduling.simulator import Cluster, FragmentationGradient

CONFIG = """
name: tiny
trace: {source: "synthetic:vms=12000"}
cluster: {servers: 2}
seeds: 2
generations: 4
population: 5
windows: {episodes: 20, other_servers: [3], other_episodes: 5}
validation: {every: 2, episodes: 15, other_episodes: 5}
"""
TABLES = ("trials.csv", "curves.csv")


def test_the_score_at_zero_has_the_weights_of_fgd_and_more_for_the_largest_flavour() -> None:
    trace = load_trace("synthetic:vms=12000")
    family = ScoreFamily.of_trace(trace, (0, 5000), Cluster())
    score = family.score_at(np.zeros(len(COORDINATES)))
    fgd = FragmentationGradient.of_trace(trace, 0, 5000)
    assert score.flavours == fgd.flavours
    ratio = np.array(score.weights) / np.array(fgd.weights)
    largest = int(np.argmax([cpu for cpu, _ in fgd.flavours]))
    others = np.delete(ratio, largest)
    np.testing.assert_allclose(others, others[0])
    assert score.weights[largest] == pytest.approx(fgd.weights[largest] * others[0] + np.exp(3))
    assert (score.fullness, score.imbalance, score.siblings) == (1.0, 0.0, 0.0)


def test_coordinates_of_the_score() -> None:
    family = ScoreFamily(
        flavours=((1.0, 1.0), (4.0, 16.0), (16.0, 64.0)),
        frequency=np.array([0.64, 0.32, 0.04]),
        double=np.array([False, True, True]),
    )
    point = dict.fromkeys(COORDINATES, 0.0) | {
        "size_power": -1.0,
        "frequency_power": -1.0,
        "small": -0.5,
        "largest": -1.5,
        "fullness": np.log(2.0),
        "imbalance": 0.5,
        "siblings": -0.25,
    }
    score = family.score_at(np.array([point[name] for name in COORDINATES]))
    # Neither size nor frequency counts: 1 if double, e^-1 if not, and 1 more for the largest.
    np.testing.assert_allclose(score.weights, [np.exp(-1), 1.0, 2.0])
    assert (score.fullness, score.imbalance, score.siblings) == (pytest.approx(2.0), 2.0, -1.0)


def test_the_cost_is_a_ratio_to_the_reference_by_hand() -> None:
    reference = {5: np.array([20_000.0, 20_000.0]), 2: np.array([0.0, 0.0])}
    assert relative_cost(reference, reference, {5: 1.0}) == pytest.approx(1.0)
    waits = {5: np.array([60_000.0, 0.0])}
    # log(1 + 3) / (2 log 2) = 1 and sqrt(60000) / (2 sqrt(20000)) = sqrt(3) / 2.
    assert relative_cost(waits, reference, {5: 1.0}) == pytest.approx((1 + np.sqrt(3) / 2) / 2)
    both = waits | {2: np.array([0.0, 0.0])}
    assert relative_cost(both, reference, {5: 0.75, 2: 0.25}) == pytest.approx(
        0.75 * (1 + np.sqrt(3) / 2) / 2
    )


def test_windows_are_stratified() -> None:
    windows = draw_windows(np.random.default_rng(0), (100, 200), {5: 10, 2: 1}, {5: 0.9, 2: 0.1})
    np.testing.assert_array_equal((windows.starts[5] - 100) // 10, np.arange(10))
    assert 100 <= windows.starts[2][0] < 200


def test_the_search_finds_the_minimum_of_a_known_function() -> None:
    family = ScoreFamily.of_trace(load_trace("synthetic:vms=12000"), (0, 5000), Cluster())
    search = ScoreSearch(family, population=12, step=0.5, seed=1)
    for _ in range(60):
        search.tell([(score.siblings - 2) ** 2 + (score.imbalance + 1) ** 2 for score in search.ask()])
    assert search.centre.siblings == pytest.approx(2, abs=0.1)
    assert search.centre.imbalance == pytest.approx(-1, abs=0.1)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results folder of a finished search."""
    return run(tmp_path_factory.mktemp("search"))


def run(place: Path, *overrides: str) -> Path:
    (place / "tiny.yaml").write_text(CONFIG)
    options = [part for override in (f"output={place}", *overrides) for part in ("--set", override)]
    assert main(["search", str(place / "tiny.yaml"), *options]) == 0
    return place / "tiny"


def test_a_finished_search_has_models_that_load_as_policies(finished: Path) -> None:
    trials = pd.read_csv(finished / "trials.csv")
    assert list(trials["trial"]) == ["score-0000", "score-0001"]
    assert sorted(trials["rank"]) == [1, 2]
    assert trials["seed"].nunique() == 2
    curves = pd.read_csv(finished / "curves.csv")
    assert len(curves) == 2 * 4
    for row in trials.itertuples():
        policy = load_policy(str(finished / str(row.model)))
        assert isinstance(policy, ScorePolicy)
        _, metadata = load_model(finished / str(row.model))
        assert metadata.metrics["validation_cost"] == row.best_validation_cost
        own = curves[curves["trial"] == row.trial]
        assert row.best_validation_cost == own["validation_cost"].min()


def test_an_interrupted_search_continues_as_if_nothing_had_happened(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = 0
    judge = ScoreSearchTask.judge

    def interrupt(*arguments: Any) -> list[float]:
        nonlocal judged
        judged += 1
        if judged == 8:
            raise KeyboardInterrupt
        return judge(*arguments)

    (tmp_path / "tiny.yaml").write_text(CONFIG)
    with monkeypatch.context() as patch:
        patch.setattr(ScoreSearchTask, "judge", interrupt)
        assert main(["search", str(tmp_path / "tiny.yaml"), "--set", f"output={tmp_path}"]) == 130
    folder = tmp_path / "tiny"
    assert not (folder / "models" / "score" / "score-0001").exists()
    assert main(["search", "--resume", str(folder)]) == 0
    for name in TABLES:
        assert (folder / name).read_bytes() == (finished / name).read_bytes()
    for file in sorted(finished.glob("models/score/*/*.safetensors")):
        assert (folder / file.relative_to(finished)).read_bytes() == file.read_bytes()


@pytest.mark.slow
def test_workers_do_not_change_what_is_found(finished: Path, tmp_path: Path) -> None:
    folder = run(tmp_path, "workers=2")
    for name in TABLES:
        assert (folder / name).read_bytes() == (finished / name).read_bytes()


def test_only_the_same_search_is_continued(finished: Path, tmp_path: Path, capsys: Any) -> None:
    folder = tmp_path / "tiny"
    shutil.copytree(finished, folder)
    config = (folder / "config.yaml").read_text(encoding="utf-8")
    before = {name: (folder / name).read_bytes() for name in TABLES}

    def refused(old: str, new: str) -> str:
        assert old in config
        (folder / "config.yaml").write_text(config.replace(old, new), encoding="utf-8")
        capsys.readouterr()
        assert main(["search", "--resume", str(folder)]) == 2
        return str(capsys.readouterr().err)

    assert "step is 0.4, but was 0.5 when the experiment began" in refused("step: 0.5", "step: 0.4")
    assert "validation.other_episodes is 6, but was 5" in refused("other_episodes: 5", "other_episodes: 6")
    assert "now means" in refused("synthetic:vms=12000", "synthetic:vms=11999")
    assert {name: (folder / name).read_bytes() for name in TABLES} == before
    # Where and how it runs is free.
    (folder / "config.yaml").write_text(config.replace("name: tiny", "name: other"), encoding="utf-8")
    assert main(["search", "--resume", str(folder)]) == 0
    assert {name: (folder / name).read_bytes() for name in TABLES} == before


def test_another_version_does_not_continue_a_search(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    folder = tmp_path / "tiny"
    shutil.copytree(finished, folder)
    monkeypatch.setattr(identity, "__version__", "99.0")
    assert main(["search", "--resume", str(folder)]) == 2
    assert "was begun with spane_rllib" in capsys.readouterr().err


def test_a_search_that_died_right_after_its_configuration_continues(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    folder.mkdir()
    shutil.copy(finished / "config.yaml", folder)
    assert main(["search", "--resume", str(folder)]) == 0
    for name in TABLES:
        assert (folder / name).read_bytes() == (finished / name).read_bytes()


def test_damaged_histories_are_refused_or_cut(finished: Path, tmp_path: Path, capsys: Any) -> None:
    folder = run(tmp_path)
    file = folder / "searches" / "score-0001.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    expected = (folder / "trials.csv").read_bytes()
    file.write_text("".join(lines[:3]) + lines[3][:10])
    assert main(["search", "--resume", str(folder)]) == 0
    assert (folder / "trials.csv").read_bytes() == expected
    broken = json.loads(lines[1]) | {"costs": [1.0]}
    for text in ("what?\n", lines[1], lines[0] + json.dumps(broken) + "\n"):
        file.write_text(text)
        capsys.readouterr()
        assert main(["search", "--resume", str(folder)]) == 2
        error = capsys.readouterr().err
        assert "score-0001.jsonl" in error
        assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "generation=3"], "did you mean generations"),
        (["--set", "validation.every=9", "--set", "generations=5"], "exceeds generations 5"),
        (["--set", "windows.other_servers=[5]"], "must not hold cluster.servers"),
        (["--set", "population=1"], "population: must be greater than or equal to 4"),
        (["--set", "step=0"], "step"),
        (["--set", "workers=-1"], "workers"),
        (["quick"], "did you mean|no such preset|unknown key"),
        (["--set", "search=scores"], "'scores' is none of vm_scheduling; did you mean score?"),
        (["--set", "problem=vm_allocations"], "vm_allocations: offers no direct search"),
        (["--set", "problem=5"], "problem: must be the name of one, got 5"),
        (["--resume", "nowhere"], "no search there"),
        (["--resume", "nowhere", "--set", "seed=1"], "leave out CONFIG and --set"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["search", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert pd.Series([error]).str.contains(message).all(), error
    assert not list(tmp_path.iterdir())
