"""Searchers and schedulers of Ray Tune that know of methods: each method competes with itself alone."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

from ray.tune.schedulers import ASHAScheduler, FIFOScheduler
from ray.tune.search import Searcher

from spane_rllib.core.errors import UserError
from spane_rllib.experiments.tuning.config import ExperimentConfig, SearchSettings
from spane_rllib.experiments.tuning.search_space import Distribution
from spane_rllib.experiments.tuning.trials import draw_trials, make_trial, searched_keys
from spane_rllib.problems.measures import Measure

_MAX_INVALID = 100


class MethodAsha(FIFOScheduler):
    """Asynchronous successive halving (ASHA) among the trials of each method.

    A trial stops at a rung (`grace_steps` times a power of `reduction_factor` gradient steps) when its
    validation is not among the best 1/`reduction_factor` seen there.
    """

    def __init__(self, settings: SearchSettings, max_steps: int, measure: Measure) -> None:
        super().__init__()
        self._arguments = {
            "time_attr": "gradient_steps",
            "metric": measure.metric,
            "mode": measure.mode,
            "max_t": max_steps,
            "grace_period": min(settings.grace_steps, max_steps),
            "reduction_factor": settings.reduction_factor,
            # A trial ends by its own gradient_steps.
            "stop_last_trials": False,
        }
        self._schedulers: dict[str, ASHAScheduler] = {}

    def _of(self, trial: Any) -> ASHAScheduler:
        method = trial.config["trial"]["method"]
        if method not in self._schedulers:
            self._schedulers[method] = ASHAScheduler(**self._arguments)
        return self._schedulers[method]

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Tune's hook."""
        self._of(trial).on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Tune's hook; decides whether the trial goes on."""
        return str(self._of(trial).on_trial_result(tune_controller, trial, result))

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Tune's hook."""
        self._of(trial).on_trial_complete(tune_controller, trial, result)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """Tune's hook."""
        self._of(trial).on_trial_remove(tune_controller, trial)


class OptunaTrials(Searcher):
    """Trials whose sampled keys Optuna's TPE suggests from the validation of the method's earlier trials.

    Names, seeds and fixed keys are those of `trials.draw_trials`. The suggestions are seeded; with several
    trials at once they also depend on the order in which those finish.
    """

    def __init__(self, config: ExperimentConfig) -> None:
        measure = config.about.measure
        super().__init__(metric=f"best_{measure.metric}", mode=measure.mode)
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._config = config
        self._studies = {
            name: optuna.create_study(
                direction="minimize" if measure.mode == "min" else "maximize",
                sampler=optuna.samplers.TPESampler(seed=config.seed ^ zlib.crc32(name.encode())),
            )
            for name in config.methods
        }
        self._slots = [(trial.method, trial.index, trial.seed) for trial in draw_trials(config)]
        self._suggested = 0
        self._running: dict[str, tuple[str, int]] = {}
        self._events: list[tuple[str, float | None] | tuple[str]] = []  # learned, or suggested

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any
    ) -> bool:
        """Accept the constant part of the param space."""
        return True

    def suggest(self, trial_id: str) -> Any:
        """The param space's `trial` for the next trial; combinations that are invalid are passed over."""
        import optuna

        if self._suggested == len(self._slots):
            return Searcher.FINISHED
        name, index, seed = self._slots[self._suggested]
        study, keys = self._studies[name], searched_keys(self._config.methods[name])
        distributions = {
            ".".join(path): _optuna_distribution(leaf)
            for path, leaf in keys.items()
            if isinstance(leaf, Distribution)
        }
        for _ in range(_MAX_INVALID):
            asked = study.ask(distributions)
            values = {path: _value(leaf, asked.params.get(".".join(path))) for path, leaf in keys.items()}
            try:
                trial = make_trial(self._config, name, index, seed, values)
                break
            except UserError as error:
                study.tell(asked, state=optuna.trial.TrialState.FAIL)
                reason = error
        else:
            raise UserError(f"{_MAX_INVALID} suggestions in a row are invalid, the last one: {reason}")
        self._suggested += 1
        self._running[trial_id] = name, asked.number
        self._events.append((trial_id,))
        return {"trial": trial.model_dump(mode="json")}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tune's hook: learn from the trial's best validation."""
        value = None if error else (result or {}).get(self.metric)
        if trial_id in self._running:
            self._learn(trial_id, value)

    def _learn(self, trial_id: str, value: float | None) -> None:
        import optuna

        name, number = self._running.pop(trial_id)
        if value is None:
            self._studies[name].tell(number, state=optuna.trial.TrialState.FAIL)
        else:
            self._studies[name].tell(number, value)
        self._events.append((trial_id, value))

    def save(self, checkpoint_path: str) -> None:
        """Write what `restore` reads: what was suggested and learned, in order, as JSON."""
        Path(checkpoint_path).write_text(json.dumps(self._events))

    def restore(self, checkpoint_path: str) -> None:
        """Go on from the state of an interrupted experiment.

        The seeded studies repeat what they did, which needs no pickle of them.
        """
        for trial_id, *learned in json.loads(Path(checkpoint_path).read_text()):
            if learned:
                self._learn(trial_id, learned[0])
            else:
                self.suggest(trial_id)


def _optuna_distribution(leaf: Distribution) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    low, high = leaf.values[0], leaf.values[-1]
    match leaf.kind:
        case "choice":
            # By position: Optuna's categories cannot be lists.
            return CategoricalDistribution(range(len(leaf.values)))
        case "randint":
            return IntDistribution(low, high)
        case _:
            return FloatDistribution(low, high, log=leaf.kind == "loguniform")


def _value(leaf: Any, suggested: Any) -> Any:
    if not isinstance(leaf, Distribution):
        return leaf
    return leaf.values[suggested] if leaf.kind == "choice" else suggested
