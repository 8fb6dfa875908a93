"""What TensorBoard shows of an experiment: curves over gradient steps, and a row of HPARAMS per trial."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray.tune.logger import TBXLoggerCallback

from spane_rllib.experiments.results.folder import ResultsFolder
from spane_rllib.experiments.tuning.config import ExperimentConfig
from spane_rllib.experiments.tuning.search_space import Distribution
from spane_rllib.experiments.tuning.trials import searched_keys
from spane_rllib.problems.measures import Measure, Statistics
from spane_rllib.problems.problem import Problem

if TYPE_CHECKING:
    import pandas as pd

_TIME = ("decisions_per_s", "time_this_iter_s", "time_total_s")
_TRAIN = (
    "episodes",
    "decisions",
    "epsilon",
    "learning_rate",
    "loss",
    "mean_q",
    "grad_norm",
    "imitation_loss",
    "entropy",
    "kl",
    "temperature",
    "replay_size",
)
_EVALUATION = ".evaluation"  # how the names of files with evaluated figures end


class TensorBoard(TBXLoggerCallback):
    """Tune's callback in place of its own, which names values as results do, over decisions, and shows all
    settings and all results as HPARAMS.

    Args:
        config: the experiment; says which keys are searched.
    """

    def __init__(self, config: ExperimentConfig) -> None:
        super().__init__()
        self._about, self._searched = config.about, _searched(config)

    def log_trial_start(self, trial: Any) -> None:
        """Tune's hook; the file is begun with the first result, which says where the curves go on."""
        self.log_trial_end(trial)

    def log_trial_result(self, iteration: int, trial: Any, result: dict[str, Any]) -> None:
        """Tune's hook."""
        step = int(result.get("gradient_steps", 0))
        if trial not in self._trial_writer:
            self._begin(trial, step)
        writer = self._trial_writer[trial]
        for tag, value in curves(result, self._about.measure):
            writer.add_scalar(tag, value, global_step=step)
        writer.flush()

    def log_trial_end(self, trial: Any, failed: bool = False) -> None:
        """Tune's hook."""
        if trial in self._trial_writer:
            self._trial_writer.pop(trial).close()

    def _begin(self, trial: Any, step: int) -> None:
        # In the results folder, not where Tune copies from: what a killed driver has written stays. What it
        # wrote beyond the checkpoint that the trial goes on from is dropped by TensorBoard (`purge_step`).
        folder = Path(trial.storage.trial_fs_path)
        writer = self._summary_writer_cls(str(folder), purge_step=step, filename_suffix=f".{step}")
        self._trial_writer[trial] = writer
        for summary in _hparams(self._about, self._searched, trial.config["trial"]):
            writer.file_writer.add_summary(summary)


def curves(result: Mapping[str, Any], measure: Measure) -> Iterator[tuple[str, float]]:
    """The finite values of a trial's result with their tags: `validation/`, `train/` and `time/`."""
    name = measure.name
    tags = {measure.metric: name, f"best_{measure.metric}": f"best_{name}", "validation_gap": "gap"}
    values = {f"validation/{tag}": result.get(key) for key, tag in tags.items()}
    values |= {f"train/{key}": result.get(key) for key in (*_TRAIN, f"episode_{name}")}
    values |= {f"train/{key}": value for key, value in result.get("env_runners", {}).items()}
    values |= {f"time/{key}": result.get(key) for key in _TIME}
    values |= {f"time/{key}_s": value for key, value in result.get("seconds", {}).items()}
    for tag, value in values.items():
        if value is not None and math.isfinite(value):
            yield tag, float(value)


def write_evaluation(
    folder: ResultsFolder, problem: Problem, trials: pd.DataFrame, summary: pd.DataFrame
) -> None:
    """Write the statistics of the evaluated trials as `evaluation/`, in place of earlier ones.

    Those of the first case are called like the statistic, those of others `<statistic>/<case>`.

    Args:
        trials: as `trial_table`.
        summary: as `Problem.summarize`.
    """
    from tensorboardX import SummaryWriter

    steps = dict(zip(trials["trial"], trials["gradient_steps"], strict=True))
    first = summary[problem.case].iloc[0]
    for trial in steps:
        values: dict[str, float] = {}
        for row in summary[summary["policy"] == trial].to_dict("records"):
            case = "" if row[problem.case] == first else f"/{row[problem.case]}"
            values |= {_evaluated(name) + case: float(row[name]) for name in problem.statistics.by_name}
        directory = folder.tune / str(trial)
        # So that a finished experiment that is resumed keeps its files.
        digest = hashlib.sha256(repr(values).encode()).hexdigest()[:12]
        suffix = f".{digest}{_EVALUATION}"
        if list(directory.glob(f"*{suffix}")):
            continue
        for old in directory.glob(f"*{_EVALUATION}"):
            old.unlink()
        with SummaryWriter(str(directory), filename_suffix=suffix) as writer:
            for tag, value in values.items():
                if math.isfinite(value):
                    writer.add_scalar(tag, value, int(steps[trial]))


def _evaluated(statistic: str) -> str:
    return f"evaluation/{statistic}"


def _final(measure: Measure, statistics: Statistics) -> list[str]:
    """The tags that HPARAMS shows."""
    compared = dict.fromkeys((statistics.headline, *statistics.compared))
    return [f"validation/best_{measure.name}", *map(_evaluated, compared)]


def _searched(config: ExperimentConfig) -> dict[tuple[str, str], Any]:
    """The keys that any method searches, by section and name, each with one of its values."""
    return {
        path: leaf.values[0]
        for method in config.methods.values()
        for path, leaf in searched_keys(method).items()
        if isinstance(leaf, Distribution)
    }


def _hparams(
    problem: Problem, searched: Mapping[tuple[str, str], Any], trial: Mapping[str, Any]
) -> Iterator[Any]:
    """TensorBoard's three messages of a trial.

    The first describes the whole experiment and is the same in all trials: TensorBoard reads that of any one.
    """
    from tensorboardX.summary import hparams

    metrics = dict.fromkeys(_final(problem.measure, problem.statistics), 0.0)
    every = {".".join(path): _shown(value) for path, value in searched.items()}
    own = {
        ".".join((section, key)): trial[section][key] for section, key in searched if key in trial[section]
    }
    experiment, _, _ = hparams({"method": "", **every}, metrics)
    _, start, end = hparams({"method": trial["method"], **own}, metrics)
    return iter((experiment, start, end))


def _shown(value: Any) -> bool | float | str:
    """What HPARAMS can hold: lists as in `trials.csv`."""
    if isinstance(value, bool | int | float):
        return value
    return "+".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
