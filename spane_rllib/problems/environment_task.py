"""A Gymnasium environment as a task: training, evaluation, policies and models with nothing else at hand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
import numpy.typing as npt
from pydantic import Field
from torch import nn

from spane_rllib.core.errors import UserError
from spane_rllib.core.plugins import check_named, is_plugin
from spane_rllib.core.settings import Settings, validated
from spane_rllib.core.words import near_miss
from spane_rllib.learning.batch import MASK
from spane_rllib.learning.begin import begin_run
from spane_rllib.learning.environment_rollouts import EnvironmentRollouts
from spane_rllib.learning.models import ModelFile, Provenance, load_model, model_identity, save_model
from spane_rllib.learning.networks import build_kind, greedy_actions
from spane_rllib.learning.run import Run
from spane_rllib.problems.acting import ActingPolicy, checked_action, load_acting_policy
from spane_rllib.problems.parts import array_digest, part_key
from spane_rllib.problems.problem import Case, Evaluation, Identity, Part, Problem, Task

if TYPE_CHECKING:
    import pandas as pd

    from spane_rllib.problems.environment_problem import Baseline, EnvironmentProblem

Decide = Callable[[Mapping[str, Any]], Any]

# Seeds of episodes, [from, to): training draws those below (see `environment_rollouts.random_seed`).
_VALIDATION = (2**31, 3 * 2**30)
_EVALUATION = (3 * 2**30, 2**32)


class EnvironmentMetadata(Provenance):
    """Where a model comes from."""

    problem: str = Field(description="name")
    instance: dict[str, Any] = Field(description="what it was trained on, JSON values")


def save_trained(
    directory: str | Path,
    network: Any,
    problem: Problem,
    instance: Mapping[str, Any],
    seed: int,
    metrics: Mapping[str, float | None],
    training: Mapping[str, Any],
) -> None:
    """`Task.save_model` where all that a model knows of its task is the instance, as JSON values."""
    metadata = EnvironmentMetadata(
        problem=problem.name,
        instance=dict(instance),
        seed=seed,
        metrics=dict(metrics),
        training=dict(training),
    )
    save_model(directory, network, metadata)


def check_model_of(file: ModelFile[EnvironmentMetadata], problem: str) -> None:
    """Raise a `UserError` unless a model is of this problem, and its network of the package or named."""
    if file.metadata.problem != problem:
        raise UserError(f"a model of the problem {file.metadata.problem!r}, not {problem}")
    if is_plugin(file.kind):
        check_named(file.kind)


@dataclass(frozen=True)
class EnvironmentPolicy:
    """What decides in an environment.

    Args:
        name: what tables call it.
        identity: what decides its actions.
        begin: what it decides with in an episode, from the random numbers of that episode.
        case: the only one it can play; None: any.
    """

    name: str
    identity: str
    begin: Callable[[np.random.Generator], Decide]
    case: Case | None = None


class EnvironmentTask(Task):
    """The task of an `EnvironmentProblem`.

    Args:
        problem: whose task it is.
        instance: a `Problem.instance`.
    """

    problem: EnvironmentProblem

    def __init__(self, problem: EnvironmentProblem, instance: Settings) -> None:
        self.problem, self.instance = problem, instance
        self.keywords = instance.model_dump(mode="json")
        text = json.dumps(self.keywords, sort_keys=True)
        self.identity = Identity(
            problem.name, hashlib.sha256(text.encode()).hexdigest(), 0, f"{problem.title}; {text}"
        )

    @property
    def environment(self) -> tuple[str, dict[str, Any]]:
        return self.problem.environment, self.keywords

    @property
    def case(self) -> Case:
        """The value of `Problem.case`."""
        return self.keywords[self.problem.case]

    def make(self) -> gymnasium.Env[Any, Any]:
        """A new environment."""
        return self.problem.environments[self.problem.environment].make(self.keywords)

    def build_network(self, kind: str, options: Mapping[str, Any], seed: int) -> nn.Module:
        # One of the user's own is called with its options and the spaces.
        problem, spaces = self.problem, self.make().observation_space
        assert isinstance(spaces, gymnasium.spaces.Dict)
        return build_kind(
            problem.networks,
            kind,
            options,
            lambda parsed: problem.build_network(kind, parsed, spaces),
            lambda: spaces,
            seed,
        )

    def begin_run(
        self, network: Any, settings: Any, validation: Any, seed: int, target: nn.Module | None = None
    ) -> Run:
        measure = self.problem.measure
        rollouts = EnvironmentRollouts(
            self.make,
            settings.lanes,
            measure.name,
            1 if measure.better == "more" else -1,
            validation=[{"seed": one} for one in _seeds(validation, _VALIDATION).tolist()],
            measured=lambda rewards, info: self.measured(info),
        )
        return begin_run(network, settings, rollouts, validation.every, seed, target)

    def validate_baselines(self, names: Sequence[str], validation: Any) -> dict[str, float]:
        seeds = _seeds(validation, _VALIDATION)
        evaluation = EnvironmentEvaluation(self, (self.case,), seeds, validation.seed)
        return evaluation.means([self.load_policy(name) for name in names], self.problem.measure.name)

    def measured(self, info: Mapping[str, Any]) -> float:
        """What an episode came to, from its last info."""
        name = self.problem.measure.name
        if name not in info:
            raise UserError(
                f"environment {self.problem.environment}: the info of the last step has no {name!r}"
            )
        return float(info[name])

    def save_model(
        self,
        directory: str | Path,
        network: Any,
        *,
        seed: int,
        metrics: Mapping[str, float | None],
        training: Mapping[str, Any],
    ) -> None:
        save_trained(directory, network, self.problem, self.keywords, seed, metrics, training)

    def load_policy(self, text: str, name: str | None = None) -> EnvironmentPolicy:
        # Nothing is shipped.
        called, baselines = name or text.rstrip("/"), self.problem.baselines
        if text in baselines:
            return EnvironmentPolicy(called, text, partial(_baseline, self.problem.baseline(text)))
        if text and Path(text).exists():
            network, metadata = load_model(text, ModelFile[EnvironmentMetadata], self._rebuild)
            case = None if getattr(network, "any_case", False) else metadata.instance[self.problem.case]
            return EnvironmentPolicy(
                called, model_identity(text, network), partial(_network, network.eval()), case
            )
        if is_plugin(text):
            own = load_acting_policy(text)
            return EnvironmentPolicy(called, own.identity, partial(_own, own.make))
        raise UserError(
            f"policy {text!r}: neither a baseline "
            f"({', '.join(baselines)}), nor the directory of a saved model, nor module:Class"
            f"{near_miss(text, baselines)}"
        )

    def _rebuild(self, file: ModelFile[EnvironmentMetadata]) -> nn.Module:
        """The network of a model file, as big as the case that it was trained on."""
        check_model_of(file, self.problem.name)
        instance = validated(self.problem.instance, file.metadata.instance, "metadata.instance")
        return EnvironmentTask(self.problem, instance).build_network(file.kind, file.options, seed=0)

    def evaluation(self, settings: Any, cases: Sequence[Case] = ()) -> EnvironmentEvaluation:
        # `cases` beside those in the settings, if any.
        given = tuple(cases) or tuple(getattr(settings, self.problem.case, None) or ()) or (self.case,)
        return EnvironmentEvaluation(self, given, _seeds(settings, _EVALUATION), settings.seed)


class EnvironmentEvaluation(Evaluation):
    """Episodes from given seeds.

    Args:
        task: what is played.
        cases: values of `Problem.case`.
        pairs: (E,) seeds of `reset`.
        seed: of random numbers that policies draw.
    """

    task: EnvironmentTask

    def __init__(
        self, task: EnvironmentTask, cases: Sequence[Case], pairs: npt.NDArray[np.int64], seed: int
    ) -> None:
        self.task, self.pairs, self._seed = task, pairs, seed
        self._tasks = {case: self._task_of(case) for case in cases}
        self.cases = tuple(self._tasks)

    def _task_of(self, case: Case) -> EnvironmentTask:
        problem = self.task.problem
        fields = {**self.task.keywords, problem.case: case}
        return EnvironmentTask(problem, validated(problem.instance, fields))

    def refusal(self, policy: EnvironmentPolicy, case: Case) -> str:
        fits = policy.case in (None, case)
        return "" if fits else f"was made for {self.task.problem.case} {policy.case}, not {case}"

    def part(self, policy: EnvironmentPolicy, case: Case) -> Part:
        problem = self.task.problem
        entry_point = problem.environments[problem.environment].entry_point
        code = __name__, type(problem).__module__, entry_point.partition(":")[0]
        key = part_key(
            *code,
            problem=problem.name,
            policy=policy.identity,
            instance=self._tasks[case].keywords,
            seeds=array_digest(self.pairs),
            seed=self._seed,
        )
        return Part(policy, case, key)

    def play(self, part: Part, first: int, last: int) -> pd.DataFrame:
        import pandas as pd

        environment = self._tasks[part.case].make()
        rows = [
            (part.policy.name, part.case, seed, *self._episode(environment, part.policy, seed))
            for seed in self.pairs[first:last].tolist()
        ]
        return pd.DataFrame(rows, columns=list(self.task.problem.episode_columns))

    def _episode(
        self, environment: gymnasium.Env[Any, Any], policy: EnvironmentPolicy, seed: int
    ) -> tuple[int, float, float]:
        """Decisions, return and measure."""
        decide = policy.begin(np.random.default_rng([self._seed, seed]))
        observation, info = environment.reset(seed=seed)
        decisions, total, running = 0, 0.0, True
        while running:
            # A copy, for policies that write to what they see.
            action = decide({name: np.array(array) for name, array in observation.items()})
            if np.ndim(action) == 0:
                action = checked_action(action, observation[MASK], policy.name)
            observation, reward, terminated, truncated, info = environment.step(action)
            decisions, total, running = decisions + 1, total + float(reward), not (terminated or truncated)
        return decisions, total, self.task.measured(info)


def _seeds(settings: Any, within: tuple[int, int]) -> npt.NDArray[np.int64]:
    """(E,) distinct seeds of episodes, in ascending order."""
    if settings.episodes == "all":
        raise UserError("episodes: there is no end of drawn episodes; give a number in place of all")
    drawn = np.random.default_rng(settings.seed).choice(
        within[1] - within[0], settings.episodes, replace=False
    )
    return np.sort(drawn).astype(np.int64) + within[0]


def _baseline(function: Baseline, random: np.random.Generator) -> Decide:
    return lambda observation: function(observation, random)


def _network(network: nn.Module, random: np.random.Generator) -> Decide:
    # One decision at a time: sums over several would depend on what is played together.
    return lambda observation: greedy_actions(
        network, {key: each[None] for key, each in observation.items()}
    )[0]


def _own(make: Callable[[], ActingPolicy], random: np.random.Generator) -> Decide:
    return make().act
