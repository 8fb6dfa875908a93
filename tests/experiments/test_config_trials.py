"""From search spaces to concrete trials, and configurations written and read back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spane_rllib.core.errors import UserError
from spane_rllib.experiments.settings_files import dump_settings
from spane_rllib.experiments.tuning.config import ExperimentConfig, experiment_settings
from spane_rllib.experiments.tuning.loading import load_experiment
from spane_rllib.experiments.tuning.search_space import Distribution
from spane_rllib.experiments.tuning.trials import TrialSettings, draw_trials
from spane_rllib.problems.registry import find_problem

WAIT_EXPERIMENT = experiment_settings(find_problem("vm_scheduling"))


def experiment(method: dict[str, Any], **keys: Any) -> ExperimentConfig:
    return WAIT_EXPERIMENT.model_validate({"name": "t", "methods": {"m": method}, **keys})


SEARCH = {
    "network": "spane",
    "trials": 40,
    "options": {
        "server_width": {"randint": [4, 6]},
        "value_depth": 3,
        "aggregations": {"choice": [["mean"], ["max", "std"]]},
    },
    "training": {
        "learning_rate": {"loguniform": [1e-3, 1e-1]},
        "discount": {"uniform": [0.5, 0.75]},
        "double_q": {"choice": [True, False]},
    },
}


def test_without_search_there_is_one_trial_with_the_shared_settings() -> None:
    config = experiment({"network": "mlp", "options": {"depth": 4}}, training={"discount": 0.5, "lanes": 2})
    [trial] = draw_trials(config)
    assert (trial.name, trial.method, trial.index, trial.network) == ("m-0000", "m", 0, "mlp")
    assert trial.options == {"width": 32, "depth": 4}
    assert trial.training == config.training["dqn"]


def test_a_method_overrides_the_shared_settings() -> None:
    [trial] = draw_trials(
        experiment({"network": "mlp", "training": {"discount": 0.9}}, training={"discount": 0.5, "lanes": 2})
    )
    assert (trial.training.discount, trial.training.lanes) == (0.9, 2)


def test_samples_stay_in_range_and_use_all_of_it() -> None:
    trials = draw_trials(experiment(SEARCH))
    assert len(trials) == 40
    assert {trial.options["server_width"] for trial in trials} == {4, 5, 6}
    assert {trial.options["value_depth"] for trial in trials} == {3}
    assert {trial.options["aggregations"] for trial in trials} == {("mean",), ("max", "std")}
    assert {trial.training.double_q for trial in trials} == {True, False}
    rates = [trial.training.learning_rate for trial in trials]
    assert all(1e-3 <= rate <= 1e-1 for rate in rates)
    # Uniform in the logarithm: the median is near 1e-2; uniform itself would put it near 5e-2.
    assert 3e-3 < float(np.median(rates)) < 3e-2
    assert all(0.5 <= trial.training.discount <= 0.75 for trial in trials)
    assert len({trial.seed for trial in trials}) == 40


def test_grids_are_crossed_in_order_and_sampled_within() -> None:
    method = {
        "network": "mlp",
        "trials": 2,
        "seeds": 3,
        "options": {"width": {"grid": [8, 16]}, "depth": {"grid": [1, 2]}},
        "training": {"learning_rate": {"uniform": [0.001, 0.01]}},
    }
    trials = draw_trials(experiment(method))
    assert [trial.index for trial in trials] == list(range(24))
    points = [(trial.options["width"], trial.options["depth"]) for trial in trials]
    assert points == [point for point in [(8, 1), (8, 2), (16, 1), (16, 2)] for _ in range(6)]
    rates = [trial.training.learning_rate for trial in trials]
    assert len(set(rates)) == 8
    assert all(len(set(rates[i : i + 3])) == 1 for i in range(0, 24, 3))
    assert len({trial.seed for trial in trials}) == 24


def test_the_seed_decides_the_draws() -> None:
    assert draw_trials(experiment(SEARCH)) == draw_trials(experiment(SEARCH))
    assert draw_trials(experiment(SEARCH)) != draw_trials(experiment(SEARCH, seed=1))


def test_methods_of_equal_settings_draw_differently() -> None:
    config = WAIT_EXPERIMENT.model_validate({"name": "t", "methods": {"a": SEARCH, "b": SEARCH}})
    trials = draw_trials(config)
    assert all(a.training != b.training for a, b in zip(trials[:40], trials[40:], strict=True))


def test_the_draws_are_the_same_in_every_process_and_release() -> None:
    trial = draw_trials(experiment(SEARCH))[7]
    # Recorded once; a change here means that published experiments no longer repeat.
    assert (trial.seed, trial.options["server_width"], trial.options["aggregations"]) == (
        688437973,
        5,
        ("max", "std"),
    )
    assert trial.training.learning_rate == pytest.approx(0.0018341664376884895)
    assert (trial.training.discount, trial.training.double_q) == (0.5741022851615175, False)


def test_the_order_of_keys_in_the_file_changes_nothing() -> None:
    shuffled = {
        **SEARCH,
        "options": dict(reversed(SEARCH["options"].items())),
        "training": dict(reversed(SEARCH["training"].items())),
    }
    assert draw_trials(experiment(SEARCH)) == draw_trials(experiment(shuffled))


def test_more_trials_seeds_or_methods_leave_earlier_draws_as_they_were() -> None:
    few = draw_trials(experiment({**SEARCH, "trials": 3}))
    assert draw_trials(experiment(SEARCH))[:3] == few
    config = WAIT_EXPERIMENT.model_validate({"name": "t", "methods": {"a": {"network": "mlp"}, "m": SEARCH}})
    assert draw_trials(config)[1:4] == few
    one = experiment({"network": "mlp", "seeds": 2})
    more = experiment({"network": "mlp", "seeds": 5})
    assert draw_trials(more)[:2] == draw_trials(one)


def test_a_trial_survives_json() -> None:
    for trial in draw_trials(experiment(SEARCH)):
        assert TrialSettings.model_validate_json(trial.model_dump_json()) == trial
        assert TrialSettings.model_validate(trial.model_dump(mode="json")) == trial


def test_an_invalid_combination_names_method_trial_and_keys() -> None:
    method = {
        "network": "mlp",
        "training": {"batch_size": {"grid": [10, 100]}, "replay_capacity": {"grid": [5000, 50]}},
    }
    config = experiment(method, training={"warmup_episodes": 1})
    with pytest.raises(UserError, match=r"^methods\.m: trial 3: batch_size 100 exceeds replay_capacity 50$"):
        draw_trials(config)


def test_a_huge_grid_is_refused_before_it_is_expanded() -> None:
    grid = {"grid": list(range(1, 1000))}
    method = {"network": "mlp", "options": {"width": grid}, "training": {"lanes": grid, "n_step": grid}}
    with pytest.raises(UserError, match=r"997,002,999 trials in all \(m: 997,002,999\), at most 10,000"):
        draw_trials(experiment(method))


@given(low=st.floats(1e-300, 1e300), ratio=st.floats(1.0000001, 1e6), seed=st.integers(0, 2**32 - 1))
def test_ranges_hold_at_any_magnitude(low: float, ratio: float, seed: int) -> None:
    high = low * ratio
    rng = np.random.default_rng(seed)
    for kind in ("uniform", "loguniform"):
        sample = Distribution.parse({kind: [low, high]}).sample(rng)
        assert low <= sample <= high
        assert math.isfinite(sample)


def test_a_grid_is_not_sampled() -> None:
    with pytest.raises(ValueError, match="grid is not sampled"):
        Distribution("grid", (1, 2)).sample(np.random.default_rng(0))


def searched(
    value: st.SearchStrategy[Any], low: float | None = None, high: float | None = None
) -> st.SearchStrategy[Any]:
    """A value, or any distribution that suits it."""
    forms = [value, st.lists(value, min_size=1, max_size=3).map(lambda v: {"choice": v})]
    forms.append(st.lists(value, min_size=1, max_size=2).map(lambda v: {"grid": v}))
    if low is not None and high is not None:
        number = st.integers(int(low), int(high)) if isinstance(low, int) else st.floats(low, high)
        pair = st.lists(number, min_size=2, max_size=2, unique=True).map(sorted)
        kinds = ["randint"] if isinstance(low, int) else ["uniform", "loguniform"]
        forms.append(st.builds(lambda kind, ends: {kind: ends}, st.sampled_from(kinds), pair))
    return st.one_of(forms)


NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,11}", fullmatch=True) | st.sampled_from(
    ["1e-3", "null", "yes", "0x1", "1_0", "2024-01-01", "12"]  # read as something else unless quoted
)
TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=10)
AGGREGATIONS = st.lists(st.sampled_from(["mean", "max", "std"]), min_size=1, max_size=3, unique=True)
TRAINING = {
    "learning_rate": searched(st.floats(1e-6, 1.0), 1e-6, 1.0),
    "lanes": searched(st.integers(1, 64), 1, 64),
    "double_q": searched(st.booleans()),
    "loss": searched(st.sampled_from(["mse", "huber"])),
    "grad_clip": searched(st.none() | st.floats(1e-3, 1e3)),
    "epsilon_initial": searched(st.floats(0, 1), 1e-9, 1.0),
}
METHODS = st.one_of(
    st.fixed_dictionaries(
        {"network": st.just("spane"), "seeds": st.integers(1, 2)},
        optional={
            "options": st.fixed_dictionaries(
                {},
                optional={
                    "server_width": searched(st.integers(1, 64), 1, 64),
                    "aggregations": searched(AGGREGATIONS),
                },
            ),
            "training": st.fixed_dictionaries({}, optional=TRAINING),
        },
    ),
    st.fixed_dictionaries(
        {"network": st.just("mlp")},
        optional={"options": st.fixed_dictionaries({"width": searched(st.integers(1, 64))})},
    ),
)
EXPERIMENTS = st.fixed_dictionaries(
    {"name": NAMES, "methods": st.dictionaries(NAMES, METHODS, min_size=1, max_size=3)},
    optional={
        "output": TEXT,
        "seed": st.integers(0, 2**32 - 1),
        "trace": st.fixed_dictionaries({"source": TEXT, "skip_invalid": st.booleans()}),
        "cluster": st.fixed_dictionaries({"node_cpu": st.floats(0.5, 1e6) | st.integers(1, 1000)}),
        "splits": st.none() | st.just({"train": [0, 0.25], "validation": [0.25, 0.5], "test": [0.5, 1]}),
        "training": st.fixed_dictionaries(
            {"weight_decay": st.floats(0, 1), "gradient_steps": st.integers(250, 10**7)}
        ),
        "evaluation": st.fixed_dictionaries(
            {"servers": st.none() | st.lists(st.integers(1, 99), min_size=1, unique=True)}
        ),
    },
)


@settings(max_examples=150)
@given(data=EXPERIMENTS)
def test_what_is_written_loads_as_the_same_experiment(
    tmp_path_factory: pytest.TempPathFactory, data: dict[str, Any]
) -> None:
    config = WAIT_EXPERIMENT.model_validate(data)
    path = tmp_path_factory.mktemp("written") / "x.yaml"
    path.write_text(dump_settings(config), encoding="utf-8", newline="")
    loaded = load_experiment(path)
    assert loaded == config
    assert draw_trials(loaded) == draw_trials(config)
    assert dump_settings(loaded) == dump_settings(config)
