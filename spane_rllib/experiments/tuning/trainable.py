"""One trial of the main job as a Tune trainable."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ray import tune
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig

from spane_rllib.core.errors import one_line
from spane_rllib.core.settings import validated
from spane_rllib.core.shared import provide
from spane_rllib.experiments.tuning.trials import TrialSettings
from spane_rllib.experiments.tuning.watching import Gauges
from spane_rllib.rllib.algorithm import SchedulingAlgorithm, SchedulingConfig

# RLlib reports several hundred values per iteration; at hundreds of trials they would fill the disk.
_KEPT_METRICS = (
    "gradient_steps",
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
    "validation_gap",
    "best_gradient_steps",
    "replay_size",
    "decisions_per_s",
    "seconds",
    "done",
)


def algorithm_config(
    trial: TrialSettings, environment: str, env_config: Mapping[str, Any], validation: Mapping[str, Any]
) -> SchedulingConfig:
    """The algorithm of `trial`.

    Args:
        trial: what to train.
        environment, env_config: id and keywords of the environment, as of `Task.environment_of`.
        validation: fields of the problem's validation settings.
    """
    return (
        SchedulingConfig()
        .environment(environment, env_config=dict(env_config))
        .training(algorithm=trial.algorithm, **trial.training.model_dump())
        .training(gradient_steps_per_iteration=validation["every"])
        .network(trial.network, **trial.options)
        .initial_weights(trial.start_from or "")
        .validation(**validation)
        .debugging(seed=trial.seed)
    )


class TrialTrainable(SchedulingAlgorithm):
    """`SchedulingAlgorithm` built from a small `param_space`, with slim results.

    The param space is {"trial": `TrialSettings` as JSON values, "environments": id and keywords by network,
    "validation" as of `algorithm_config`, and "gpus" reserved}. Large data arrives through Ray's object
    store, one copy per node, by `tune.with_parameters(TrialTrainable, shared=...)`, see `Task.shared`.
    """

    def __init__(self, config: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        # RLlib builds its environment within setup(), so the data has to be there by name before that.
        self._param_space = dict(config or {})
        self._measure = self._trial().about.measure
        self._gauges = Gauges(self._measure)
        self._notice = ""
        super().__init__(self._algorithm_config(), **kwargs)

    def __repr__(self) -> str:
        # What Ray's dashboard and logs call the actor.
        return str(self._param_space["trial"]["name"])

    def _trial(self) -> TrialSettings:
        return validated(TrialSettings, self._param_space["trial"], "trial")

    def _algorithm_config(self) -> SchedulingConfig:
        space, trial = self._param_space, self._trial()
        environment, keywords = space["environments"][trial.network]
        config = algorithm_config(trial, environment, keywords, space["validation"]).resources(
            num_gpus=space.get("gpus", 0)
        )
        config.algo_class = type(self)
        return config

    def setup(self, config: AlgorithmConfig, shared: Mapping[str, Any] | None = None) -> None:
        """Make known what `env_config` names, and build the algorithm."""
        torch.set_num_threads(1)
        for name, value in (shared or {}).items():
            provide(name, value)
        super().setup(config)

    def reset_config(self, new_config: Mapping[str, Any]) -> bool:
        self._param_space = dict(new_config)
        return super().reset_config(self._algorithm_config())

    def restore(self, checkpoint_path: Any) -> None:
        """Continue from the checkpoint that Tune names, else from the newest other one, else start again.

        Tune alone would give up a trial whose checkpoint is damaged, or was replaced by the next one just
        before the driver was killed. The next result says what was done, as `notice`.

        Args:
            checkpoint_path: what `save()` returned, a checkpoint and its metrics.
        """
        named, metrics = Path(checkpoint_path.checkpoint.path), checkpoint_path.metrics
        lost = not named.exists()
        others = sorted(set(named.parent.glob("checkpoint_*")) - {named}, reverse=True)
        reason = ""
        for folder in (named, *others):
            try:
                super().restore(type(checkpoint_path)(tune.Checkpoint.from_directory(folder), metrics))
            except Exception as error:  # unpickling what is damaged can raise anything
                if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
                    raise  # the storage, not the checkpoint; Tune tries again
                reason = reason or f"is lost or damaged ({type(error).__name__}: {error})"
                self.reset_config(self._param_space)
            else:
                origin = folder.name
                if lost and folder > named:  # numbered: the driver was a note behind
                    reason = "was replaced by a newer one"
                break
        else:
            origin = "its beginning"
        if reason:
            named.mkdir(exist_ok=True)  # Tune will delete it when the next one is saved
            self._iteration = -(-self.run.gradient_steps // self.config.gradient_steps_per_iteration)
            self._notice = one_line(f"{named.name} {reason}; goes on from {origin}")

    def step(self) -> dict[str, Any]:
        """One training iteration; RLlib's several hundred values are cut down to those that are read."""
        result = super().step()
        trial = self._param_space["trial"]
        self._gauges.set(result, trial["name"], trial["method"])
        returns = result["env_runners"]
        measured = (f"episode_{self._measure.name}", self._measure.metric, f"best_{self._measure.metric}")
        kept = {name: result[name] for name in (*_KEPT_METRICS, *measured) if name in result}
        if self._notice:
            kept["notice"], self._notice = self._notice, ""
        return kept | {
            "env_runners": {
                name: returns[name] for name in ("episode_return_mean", "episode_len_mean") if name in returns
            }
        }

    def get_auto_filled_metrics(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Tune's metrics with the param space, not RLlib's whole configuration, as `config`."""
        return super().get_auto_filled_metrics(*args, **kwargs) | {"config": self._param_space}
