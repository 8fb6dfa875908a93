"""What shows how training goes: the progress line, gauges of Ray's metrics, trackers."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ray
from ray import tune
from ray.util.metrics import Gauge

from spane_rllib.core.console import Progress
from spane_rllib.experiments.tuning.config import ExperimentConfig
from spane_rllib.problems.measures import Measure

_GAUGES = {
    "validation_gap": "The validation over its proven lower bound",
    "decisions_per_s": "Decisions per second of training",
    "replay_size": "Decisions in the replay memory",
    "gradient_steps": "Gradient steps of the trial so far",
}


class Gauges:
    """Results of the trials of this process, exported by Ray as `ray_spane_rllib_*` with trial and method."""

    def __init__(self, measure: Measure) -> None:
        described = {measure.metric: f"Validation by what is measured: {measure.title}", **_GAUGES}
        self._gauges = {
            name: Gauge(f"spane_rllib_{name}", description, tag_keys=("trial", "method"))
            for name, description in described.items()
            if ray.is_initialized()  # without Ray there is nobody to export to
        }

    def set(self, result: Mapping[str, Any], trial: str, method: str) -> None:
        """Export what `result` holds."""
        for name, gauge in self._gauges.items():
            if math.isfinite(result.get(name, math.nan)):
                gauge.set(result[name], {"trial": trial, "method": method})


@contextmanager
def shown_stage(experiment: str, stage: str) -> Iterator[None]:
    """Export `ray_spane_rllib_stage`, which is 1 while the experiment is in this stage and 0 afterwards."""
    gauge = Gauge(
        "spane_rllib_stage", "Whether the experiment is in this stage", tag_keys=("experiment", "stage")
    )
    tags = {"experiment": experiment, "stage": stage}
    gauge.set(1, tags)
    try:
        yield
    finally:
        gauge.set(0, tags)


class TrainingProgress(tune.Callback):
    """Shows gradient steps of all trials together, speed, and the best validation so far."""

    def __init__(self, total_steps: int, trials: int, measure: Measure) -> None:
        self._total, self._trials, self._measure = total_steps, trials, measure
        self._steps: dict[str, int] = {}
        self._speed: dict[str, float] = {}
        self._finished: set[str] = set()
        self._best: dict[str, tuple[float, float]] = {}
        self._replay = 0
        self._progress: Progress | None = None

    def setup(self, *_: Any, **__: Any) -> None:
        """Tune's hook before the first trial: what takes long is shown from the beginning."""
        self._progress = Progress("training", self._total, "gradient steps")

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any
    ) -> None:
        """Tune's hook for every result."""
        if self._progress is None:
            self._progress = Progress("training", self._total, "gradient steps")
        name, method = trial.config["trial"]["name"], trial.config["trial"]["method"]
        if "notice" in result:
            print(f"{name}: {result['notice']}", file=sys.stderr)
        self._steps[name] = result.get("gradient_steps", 0)
        self._speed[name] = result.get("decisions_per_s", 0.0)
        self._replay = max(self._replay, result.get("replay_size", 0))
        if result.get("done"):
            self._finished.add(name)
            del self._speed[name]
        value, gap = (result.get(key, math.nan) for key in (self._measure.metric, "validation_gap"))
        if math.isfinite(value):
            best = min if self._measure.mode == "min" else max
            self._best[method] = best((value, gap), self._best.get(method, (value, gap)))
        self._progress.update(sum(self._steps.values()), self._note())

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Tune's hook for a trial that failed and is tried again."""
        failures = f"{trial.run_metadata.num_failures} of at most {trial.max_failures} times"
        origin = "last checkpoint" if trial.checkpoint else "beginning"
        print(
            f"{trial}: failed ({failures}), goes on from its {origin}; see {trial.path}/error.txt",
            file=sys.stderr,
        )

    def _note(self) -> str:
        best = ", ".join(
            f"{method} {self._measure.text.format(value)}"
            + (f" ({gap:.2f} x bound)" if math.isfinite(gap) else "")
            for method, (value, gap) in self._best.items()
        )
        return (
            f"{len(self._finished)}/{self._trials} trials; best validation: {best}; "
            f"{sum(self._speed.values()):,.0f} decisions/s; replay up to {self._replay:,}"
        )

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its callbacks; clocks of this process mean nothing in another.
        return self.__dict__ | {"_progress": None}


def trackers(config: ExperimentConfig) -> list[tune.Callback]:
    """Tune's callbacks for the trackers that `config.logging` names."""
    callbacks: list[tune.Callback] = []
    if config.logging.wandb is not None:
        from ray.air.integrations.wandb import WandbLoggerCallback

        callbacks.append(WandbLoggerCallback(project=config.logging.wandb.project, group=config.name))
    if config.logging.mlflow is not None:
        from ray.air.integrations.mlflow import MLflowLoggerCallback

        settings = config.logging.mlflow
        callbacks.append(
            MLflowLoggerCallback(
                tracking_uri=settings.tracking_uri, experiment_name=settings.experiment or config.name
            )
        )
    return callbacks
