"""GPU jobs as a task: training, evaluation, policies and models."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from spane_rllib.core.errors import UserError
from spane_rllib.core.plugins import is_plugin
from spane_rllib.core.words import near_miss
from spane_rllib.learning.begin import begin_run
from spane_rllib.learning.environment_rollouts import EnvironmentRollouts
from spane_rllib.learning.run import Run
from spane_rllib.problems.environment_task import save_trained
from spane_rllib.problems.gpu_jobs.columns import SUMMARY
from spane_rllib.problems.gpu_jobs.environment import GpuJobsEnv
from spane_rllib.problems.gpu_jobs.instance import Instance
from spane_rllib.problems.gpu_jobs.models import build_network, load_trained
from spane_rllib.problems.gpu_jobs.playing import OwnPolicy
from spane_rllib.problems.gpu_jobs.policies import HEURISTICS, Policy
from spane_rllib.problems.gpu_jobs.results import block_table, job_table
from spane_rllib.problems.gpu_jobs.settings import GpuJobsSettings
from spane_rllib.problems.gpu_jobs.simulator.bounds import lower_bound_jct
from spane_rllib.problems.gpu_jobs.simulator.jobs import Jobs
from spane_rllib.problems.gpu_jobs.simulator.schedule import Schedule, measures
from spane_rllib.problems.parts import part_key
from spane_rllib.problems.problem import Case, Evaluation, Identity, Part, Problem, Task

if TYPE_CHECKING:
    import pandas as pd

_VALIDATION = 2**31
"""Seeds of validation episodes begin here; training draws smaller ones."""


class GpuJobsTask(Task):
    """The task of some settings.

    Args:
        problem: whose task it is.
        settings: what is scheduled.
    """

    def __init__(self, problem: Problem, settings: GpuJobsSettings) -> None:
        self.problem, self.settings = problem, settings
        self.instance = Instance(settings)
        jobs = self.instance.jobs
        load = jobs.load(self.instance.cluster.gpus)
        self.identity = Identity(
            jobs.name,
            jobs.sha256,
            len(jobs),
            f"{jobs.name}, {len(jobs):,} jobs that ask for {load:.3g} times the {self.instance.cluster.gpus} "
            f"GPUs while they arrive, content sha256 {jobs.sha256}",
        )

    @property
    def environment(self) -> tuple[str, dict[str, Any]]:
        keywords = self.settings.model_dump(mode="json")
        if self.shared:
            keywords["jobs"] = next(iter(self.shared))
        return next(iter(self.problem.environments)), keywords

    @property
    def shared(self) -> Mapping[str, Any]:
        # Made-up workloads are made anew.
        text = self.settings.jobs
        if text.startswith("content:") or Path(text).exists():
            return {f"content:{self.identity.sha256}": self.instance.jobs}
        return {}

    def make(self) -> GpuJobsEnv:
        """A new environment."""
        return GpuJobsEnv(**self.settings.model_dump(mode="json"))

    def build_network(self, kind: str, options: Mapping[str, Any], seed: int) -> nn.Module:
        return build_network(kind, options, self.settings, seed)

    def begin_run(
        self, network: Any, settings: Any, validation: Any, seed: int, target: nn.Module | None = None
    ) -> Run:
        rollouts = EnvironmentRollouts(
            self.make,
            settings.lanes,
            self.problem.measure.name,
            -1,
            validation=[{"seed": seed} for seed in _validation_seeds(validation)],
            measured=lambda rewards, info: float(info["weighted_jct"]),
        )
        return begin_run(network, settings, rollouts, validation.every, seed, target)

    def validate_baselines(self, names: Sequence[str], validation: Any) -> dict[str, float]:
        policies = [self.load_policy(name) for name in names]
        playable = [policy for policy in policies if not policy.refusal(self.instance.rules)]
        values: dict[str, list[float]] = {policy.name: [] for policy in playable}
        environment = self.make()
        for seed in _validation_seeds(validation):
            environment.reset(seed=seed)
            jobs, cluster, rules = environment.session.jobs, self.instance.cluster, environment.session.rules
            for policy in playable:
                schedule = policy.schedule(jobs, cluster, rules)
                values[policy.name].append(measures(schedule)["weighted_jct_s"])
        return {name: float(np.mean(all_of)) for name, all_of in values.items()}

    def save_model(
        self,
        directory: str | Path,
        network: Any,
        *,
        seed: int,
        metrics: Mapping[str, float | None],
        training: Mapping[str, Any],
    ) -> None:
        save_trained(directory, network, self.problem, self.environment[1], seed, metrics, training)

    def load_policy(self, text: str, name: str | None = None) -> Policy:
        called = name or text.rstrip("/")
        if text in HEURISTICS:
            return replace(HEURISTICS[text], shown=called)
        if text and Path(text).exists():
            return load_trained(text, called)
        if is_plugin(text):
            return OwnPolicy.load(text, called)
        raise UserError(
            f"policy {text!r}: neither a baseline ({', '.join(HEURISTICS)}), nor the directory of a saved "
            f"model, nor module:Class{near_miss(text, HEURISTICS)}"
        )

    def evaluation(self, settings: Any) -> GpuJobsEvaluation:
        return GpuJobsEvaluation(self, settings)


def _validation_seeds(validation: Any) -> list[int]:
    """Seeds of `reset`."""
    return [_VALIDATION + 1000 * validation.seed + at for at in range(validation.episodes)]


class GpuJobsEvaluation(Evaluation):
    """Whole workloads, in blocks of arrivals.

    Args:
        task: what is played.
        settings: a `Problem.evaluation`.
    """

    task: GpuJobsTask

    def __init__(self, task: GpuJobsTask, settings: Any) -> None:
        self.task, self.seed, self.measured = task, settings.seed, tuple(settings.measured)
        if self.measured[0] >= self.measured[1]:
            raise UserError(f"measured: must be a range within 0 to 1, got {list(self.measured)}")
        if settings.episodes == "all":
            raise UserError("episodes: jobs are put into blocks; give a number in place of all")
        self.cases = settings.jobs or (task.settings.jobs,)
        self.pairs = np.arange(settings.episodes)
        self.parquet = False
        instance = task.instance
        self._jobs: dict[Case, Jobs] = {
            text: instance.jobs if text == task.settings.jobs else instance.load(str(text))
            for text in self.cases
        }
        self._parts: dict[str, Part] = {}
        self._schedules: dict[str, Schedule] = {}

    @property
    def description(self) -> str:
        """What is played, one line."""
        gpus = self.task.instance.cluster.gpus
        lines = [
            f"{text}: {len(jobs):,} jobs, load {jobs.load(gpus):.3g}" for text, jobs in self._jobs.items()
        ]
        return f"{'; '.join(lines)}; {self.task.settings.rules} rules"

    def refusal(self, policy: Policy, case: Case) -> str:
        return policy.refusal(self.task.instance.rules)

    def part(self, policy: Policy, case: Case) -> Part:
        settings = self.task.settings.model_dump(mode="json", exclude={"jobs", "episode", "reading"})
        key = part_key(
            __name__,
            problem=self.task.problem.name,
            policy=policy.identity,
            jobs=self._jobs[case].sha256,
            settings=json.dumps(settings, sort_keys=True),
            blocks=len(self.pairs),
            measured=list(self.measured),
            seed=self.seed,
        )
        self._parts[f"{policy.name} {key}"] = part = Part(policy, case, key)
        return part

    def play(self, part: Part, first: int, last: int) -> pd.DataFrame:
        schedule, instance = self._schedule(part), self.task.instance
        jobs, horizon = schedule.jobs, instance.rules.horizon
        if schedule.censored and self.measured == (0.0, 1.0):
            bound = lower_bound_jct(jobs, instance.cluster, horizon)
        else:
            # Of some of the jobs only what they need alone is known.
            speed = max(each.speed for each in instance.cluster.types)
            bound = lower_bound_alone(schedule, speed, self.measured)
        named = part.policy.name, str(part.case)
        table = block_table(schedule, instance.cluster, *named, len(self.pairs), self.measured, bound)
        return table.iloc[first:last].reset_index(drop=True)

    def _schedule(self, part: Part) -> Schedule:
        if part.key not in self._schedules:
            instance = self.task.instance
            rules = replace(instance.rules, seed=self.seed)
            self._schedules[part.key] = part.policy.schedule(self._jobs[part.case], instance.cluster, rules)
        return self._schedules[part.key]

    def record(self, policies: Sequence[Any], folder: Path, most: int) -> Iterator[Path]:
        from spane_rllib.problems.gpu_jobs.viewing.recorder import record_schedule

        if most > 1:
            raise UserError("argument --record-episodes: a recording is a whole workload; leave it out")
        cluster = self.task.instance.cluster
        for policy in policies:
            for case in self.cases:
                if not self.refusal(policy, case):
                    schedule = self._schedule(self.part(policy, case))
                    yield record_schedule(schedule, cluster, policy.name, str(case), folder)

    def results(
        self, episodes: pd.DataFrame, summary: pd.DataFrame
    ) -> Iterator[tuple[str, pd.DataFrame | str]]:
        import pandas as pd

        yield "summary.csv", summary[list(SUMMARY)]
        yield "blocks.csv", episodes.drop(columns="details")
        cluster = self.task.instance.cluster
        tables = [
            job_table(self._schedule(part), cluster, part.policy.name, str(part.case))
            for part in self._parts.values()
        ]
        yield "jobs.parquet" if self.parquet else "jobs.csv", pd.concat(tables, ignore_index=True)


def lower_bound_alone(schedule: Schedule, speed: float, measured: tuple[float, float]) -> float:
    """Mean completion time of the jobs that count if none of them waited."""
    count = len(schedule.jobs)
    counted = schedule.counted.copy()
    counted[: round(measured[0] * count)] = False
    counted[round(measured[1] * count) :] = False
    if not counted.any():
        return float("nan")
    left = schedule.end - schedule.jobs.arrival
    return float(np.minimum(schedule.jobs.runtime / speed, left)[counted].mean())
