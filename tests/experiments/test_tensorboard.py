"""What TensorBoard reads of an experiment: tags, steps and HPARAMS."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams.backend_context import Context

from spane_rllib.experiments.results.folder import ResultsFolder
from spane_rllib.experiments.tuning.config import experiment_settings
from spane_rllib.experiments.tuning.tensorboard import TensorBoard, write_evaluation
from spane_rllib.experiments.tuning.trials import draw_trials
from spane_rllib.problems.registry import find_problem

METHODS: dict[str, Any] = {
    "spane": {"network": "spane", "training": {"learning_rate": {"grid": [0.001, 0.01]}}},
    "mlp": {"network": "mlp", "options": {"width": {"choice": [8]}}},
}


class Trial(SimpleNamespace):
    """What the callback reads of Tune's."""

    __hash__ = object.__hash__  # type: ignore[assignment]


def begin(tmp_path: Path) -> tuple[TensorBoard, ResultsFolder, list[Any]]:
    config = experiment_settings(find_problem("vm_scheduling")).model_validate(
        {"name": "shown", "methods": METHODS}
    )
    folder = ResultsFolder(tmp_path)
    trials = [
        Trial(
            config={"trial": trial.model_dump(mode="json")},
            storage=SimpleNamespace(trial_fs_path=str(folder.tune / trial.name)),
        )
        for trial in draw_trials(config)
    ]
    return TensorBoard(config), folder, trials


def report(callback: TensorBoard, trial: Any, step: int, wait: float) -> None:
    result = {
        "gradient_steps": step,
        "timesteps_total": 7 * step,
        "validation_wait": wait,
        "best_validation_wait": min(wait, 5.0),
        "validation_gap": float("nan"),
        "loss": 0.5,
        "decisions_per_s": 100.0,
        "seconds": {"rollout": 2.0},
        "env_runners": {"episode_return_mean": -1.0},
        "config": trial.config,
        "done": False,
    }
    callback.log_trial_result(1, trial, result)


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(folder)).Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


@pytest.fixture
def trials_shown(tmp_path: Path) -> tuple[TensorBoard, ResultsFolder, list[Any]]:
    callback, folder, trials = begin(tmp_path)
    for trial in trials:
        callback.log_trial_start(trial)
        report(callback, trial, 10, 6.0)
        report(callback, trial, 20, 4.0)
    return callback, folder, trials


def test_curves_are_over_gradient_steps_in_groups(trials_shown: Any) -> None:
    callback, folder, trials = trials_shown
    callback.log_trial_end(trials[0])
    shown = scalars(folder.tune / "spane-0000")
    assert shown.pop("validation/wait") == [(10, 6.0), (20, 4.0)]
    assert set(shown) == {
        "validation/best_wait",
        "train/loss",
        "train/episode_return_mean",
        "time/decisions_per_s",
        "time/rollout_s",
    }


def test_a_resumed_trial_goes_on_from_its_checkpoint(trials_shown: Any) -> None:
    _, folder, trials = trials_shown  # never ended: the driver was killed
    again, _, _ = begin(folder.path)
    again.log_trial_start(trials[0])
    report(again, trials[0], 20, 3.0)
    again.log_trial_end(trials[0])
    assert scalars(folder.tune / "spane-0000")["validation/wait"] == [(10, 6.0), (20, 3.0)]


def test_hparams_are_searched_keys_method_and_final_measures(trials_shown: Any) -> None:
    callback, folder, trials = trials_shown
    again, _, _ = begin(folder.path)
    report(again, trials[1], 30, 3.0)  # resumed
    for trial in trials:
        callback.log_trial_end(trial)
        again.log_trial_end(trial)
    table = pd.DataFrame({"trial": ["spane-0001"], "gradient_steps": [30]})
    problem = find_problem("vm_scheduling")
    statistics = problem.statistics.by_name
    summary = pd.DataFrame(
        [
            {
                "policy": policy,
                "servers": servers,
                **dict.fromkeys(statistics, float(servers)),
            }
            for policy in ("spane-0001", "first-fit")
            for servers in (5, 20)
        ]
    )
    for _ in range(2):  # the second time in place of the first
        write_evaluation(folder, problem, table, summary)
    shown = scalars(folder.tune / "spane-0001")
    headline = f"evaluation/{problem.statistics.headline}"
    assert (shown[headline], shown[f"{headline}/20"]) == ([(30, 5.0)], [(30, 20.0)])

    runs = plugin_event_multiplexer.EventMultiplexer()
    runs.AddRunsFromDirectory(str(folder.tune)).Reload()
    provider = data_provider.MultiplexerDataProvider(runs, str(folder.tune))
    context = Context(TBContext(data_provider=provider))
    metadata = context.hparams_metadata(RequestContext(), "")
    experiment = context.experiment_from_metadata(RequestContext(), "", True, metadata, [])
    names = [info.name for info in experiment.hparam_infos]
    assert sorted(names) == ["method", "options.width", "training.learning_rate"]
    metrics = [info.name.tag for info in experiment.metric_infos]
    assert metrics[:2] == ["validation/best_wait", headline]
    assert all(tag.startswith("evaluation/") for tag in metrics[1:])
    assert set(metadata) == {"spane-0000", "spane-0001", "mlp-0000"}
