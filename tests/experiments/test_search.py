"""Optuna and ASHA as this package uses them, what shows their progress, and what they need installed."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from spane_rllib.core.errors import UserError
from spane_rllib.experiments.tuning import extras, searchers, watching
from spane_rllib.experiments.tuning.config import ExperimentConfig, SearchSettings, experiment_settings
from spane_rllib.experiments.tuning.trials import TrialSettings, draw_trials, make_trial
from spane_rllib.problems.registry import find_problem

WAIT_EXPERIMENT = experiment_settings(find_problem("vm_scheduling"))
MEASURE = find_problem("vm_scheduling").measure

LEARNING_RATE = {"loguniform": [1e-4, 1e-1]}
SEARCHED = {
    "network": "spane",
    "trials": 40,
    "options": {
        "aggregations": {"choice": [["mean"], ["mean", "max"]]},
        "server_width": {"randint": [4, 6]},
        "value_depth": 3,
    },
    "training": {"learning_rate": LEARNING_RATE, "discount": {"uniform": [0.5, 0.75]}},
}


def experiment(trials: int = 40, **keys: Any) -> ExperimentConfig:
    methods = {"spane": SEARCHED | {"trials": trials}, "plain": {"network": "mlp"}}
    return WAIT_EXPERIMENT.model_validate(
        {"name": "t", "methods": methods, "search": {"algorithm": "optuna"}} | keys
    )


def suggestions(searcher: searchers.OptunaTrials) -> Iterator[TrialSettings]:
    """All trials, each finished with a wait that is least at a learning rate of 0.01 before the next."""
    number = 0
    while (suggested := searcher.suggest(f"id{number}")) != searchers.Searcher.FINISHED:
        trial = TrialSettings.model_validate(suggested["trial"])
        yield trial
        wait = abs(math.log(trial.training.learning_rate / 0.01))
        searcher.on_trial_complete(f"id{number}", {"best_validation_wait": wait})
        number += 1


@pytest.fixture
def optuna() -> Any:
    return pytest.importorskip("optuna", reason="the extra `optuna` is not installed")


def test_optuna_keeps_names_seeds_and_fixed_keys_and_stays_within_the_space(optuna: Any) -> None:
    trials = list(suggestions(searchers.OptunaTrials(experiment())))
    drawn = draw_trials(experiment())
    assert [(t.name, t.method, t.seed) for t in trials] == [(t.name, t.method, t.seed) for t in drawn]
    spane = trials[:40]
    assert {tuple(trial.options["aggregations"]) for trial in spane} == {("mean",), ("mean", "max")}
    assert {trial.options["server_width"] for trial in spane} == {4, 5, 6}
    assert {trial.options["value_depth"] for trial in spane} == {3}
    assert all(1e-4 <= trial.training.learning_rate <= 1e-1 for trial in spane)
    assert all(0.5 <= trial.training.discount <= 0.75 for trial in spane)
    assert trials[40] == drawn[40]


def test_optuna_is_seeded_and_learns(optuna: Any) -> None:
    first = [trial.training.learning_rate for trial in suggestions(searchers.OptunaTrials(experiment()))]
    assert first == [
        trial.training.learning_rate for trial in suggestions(searchers.OptunaTrials(experiment()))
    ]
    distance = [abs(math.log(rate / 0.01)) for rate in first[:40]]
    assert sum(distance[-10:]) < 0.5 * sum(distance[:10])
    other = searchers.OptunaTrials(experiment(seed=1))
    assert next(suggestions(other)).training.learning_rate != first[0]


def test_optuna_goes_on_from_its_saved_state(optuna: Any, tmp_path: Path) -> None:
    config, state = experiment(15), tmp_path / "state"
    uninterrupted = list(suggestions(searchers.OptunaTrials(config)))
    searcher = searchers.OptunaTrials(config)
    trials = suggestions(searcher)
    begun = [next(trials) for _ in range(12)]  # the twelfth has not finished
    searcher.save(str(state))
    restored = searchers.OptunaTrials(config)
    restored.restore(str(state))
    wait = abs(math.log(begun[-1].training.learning_rate / 0.01))
    restored.on_trial_complete("id11", {"best_validation_wait": wait})
    assert begun + list(suggestions(restored)) == uninterrupted


def test_optuna_passes_over_invalid_combinations(optuna: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def picky(config: Any, name: str, index: int, seed: int, values: dict[Any, Any]) -> TrialSettings:
        if values.get(("training", "learning_rate"), 0) > limit:
            raise UserError("too fast")
        return make_trial(config, name, index, seed, values)

    monkeypatch.setattr(searchers, "make_trial", picky)
    limit = 0.003
    trials = list(suggestions(searchers.OptunaTrials(experiment(10))))
    assert len(trials) == 11
    assert all(trial.training.learning_rate <= limit for trial in trials[:10])
    limit = 0.0
    with pytest.raises(UserError, match="100 suggestions in a row are invalid, the last one: too fast"):
        searchers.OptunaTrials(experiment(10)).suggest("id")


@pytest.mark.parametrize(
    "method",
    [
        SEARCHED | {"seeds": 2},
        {"network": "mlp", "training": {"learning_rate": {"grid": [0.1, 0.01]}}},
    ],
)
def test_optuna_refuses_seeds_and_grids(method: dict[str, Any]) -> None:
    experiment(methods={"m": method}, search={})
    with pytest.raises(ValidationError, match=r"methods\.m: search\.algorithm optuna takes neither"):
        experiment(methods={"m": method})


def test_asha_compares_the_trials_of_a_method_among_themselves() -> None:
    def trial(method: str, number: int) -> Any:
        return SimpleNamespace(trial_id=f"{method}{number}", config={"trial": {"method": method}})

    scheduler = searchers.MethodAsha(
        SearchSettings(grace_steps=10, reduction_factor=2), max_steps=40, measure=MEASURE
    )
    good, bad, between, other = trial("a", 0), trial("a", 1), trial("a", 2), trial("b", 0)
    for each in (good, bad, between, other):
        scheduler.on_trial_add(None, each)

    def decision(of: Any, steps: int, wait: float) -> str:
        return scheduler.on_trial_result(None, of, {"gradient_steps": steps, "validation_wait": wait})

    assert decision(bad, 5, 900.0) == "CONTINUE"  # before the first rung
    assert decision(good, 10, 100.0) == "CONTINUE"
    assert decision(bad, 10, 300.0) == "STOP"
    assert decision(between, 10, 150.0) == "CONTINUE"  # the median of 100 and 300 is 200
    assert decision(other, 10, 5000.0) == "CONTINUE"  # alone in its method
    assert decision(between, 20, 150.0) == "CONTINUE"
    assert decision(good, 20, 200.0) == "STOP"


def test_a_missing_package_is_named_with_the_key_that_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda package: None)
    extras.check_extras(experiment(search={}))
    for key, config in {
        "search.algorithm: .* pip install optuna": experiment(),
        "logging.wandb: .* pip install wandb": experiment(search={}, logging={"wandb": {"project": "p"}}),
        "logging.mlflow: .* pip install mlflow": experiment(
            search={}, logging={"mlflow": {"tracking_uri": "file:/x"}}
        ),
    }.items():
        with pytest.raises(UserError, match=key):
            extras.check_extras(config)


def test_trackers_are_tunes_callbacks_with_the_configured_names(monkeypatch: pytest.MonkeyPatch) -> None:
    for package, callback in (("wandb", "WandbLoggerCallback"), ("mlflow", "MLflowLoggerCallback")):
        stub = ModuleType(package)
        setattr(stub, callback, lambda package=package, **arguments: (package, arguments))
        monkeypatch.setitem(sys.modules, f"ray.air.integrations.{package}", stub)
    logging = {"wandb": {"project": "p"}, "mlflow": {"tracking_uri": "file:/runs"}}
    assert watching.trackers(experiment()) == []
    assert watching.trackers(experiment(logging=logging)) == [
        ("wandb", {"project": "p", "group": "t"}),
        ("mlflow", {"tracking_uri": "file:/runs", "experiment_name": "t"}),
    ]


def test_gauges_carry_trial_and_method_and_leave_out_what_is_no_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: dict[str, tuple[float, dict[str, str]]] = {}

    class Gauge:
        def __init__(self, name: str, description: str, tag_keys: tuple[str, ...]) -> None:
            assert tag_keys == ("trial", "method")
            self.name = name

        def set(self, value: float, tags: dict[str, str]) -> None:
            seen[self.name] = value, tags

    monkeypatch.setattr(watching, "Gauge", Gauge)
    result = {"validation_wait": 5.0, "validation_gap": math.nan, "replay_size": 7}
    watching.Gauges(MEASURE).set(result, "a-0000", "a")
    assert not seen  # no Ray, nobody to export to
    monkeypatch.setattr(watching.ray, "is_initialized", lambda: True)
    watching.Gauges(MEASURE).set(result, "a-0000", "a")
    tags = {"trial": "a-0000", "method": "a"}
    assert seen == {"spane_rllib_validation_wait": (5.0, tags), "spane_rllib_replay_size": (7, tags)}


def test_the_progress_line_sums_up_the_trials(capsys: pytest.CaptureFixture[str]) -> None:
    progress = watching.TrainingProgress(total_steps=20, trials=2, measure=MEASURE)
    results = [
        ("a", {"validation_wait": 3000.0, "validation_gap": 1.5, "done": False}),
        ("b", {"validation_wait": 4000.0, "validation_gap": 2.0, "done": True}),
        ("a", {"validation_wait": 3500.0, "validation_gap": 1.75, "done": False}),
    ]
    for method, result in results:
        trial = SimpleNamespace(config={"trial": {"name": f"{method}-0000", "method": method}})
        common = {"gradient_steps": 10, "decisions_per_s": 1234.0, "replay_size": 5000}
        progress.on_trial_result(1, [], trial, common | result)
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert "20/20 gradient steps" in line
    assert "1/2 trials" in line
    assert "a 3,000 s (1.50 x bound), b 4,000 s (2.00 x bound)" in line
    assert "1,234 decisions/s; replay up to 5,000" in line
