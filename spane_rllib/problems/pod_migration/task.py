"""Pod migration as a task: a cluster, and days of a trace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from torch import nn

from spane_rllib.learning.begin import begin_run
from spane_rllib.learning.environment_rollouts import EnvironmentRollouts
from spane_rllib.learning.run import Run
from spane_rllib.problems.environment_task import EnvironmentTask
from spane_rllib.problems.parts import array_digest, part_key
from spane_rllib.problems.pod_migration.columns import SUMMARY_COLUMNS, WINDOW_COLUMNS
from spane_rllib.problems.pod_migration.environments.migration import PodMigrationEnv
from spane_rllib.problems.pod_migration.instance import PodInstance
from spane_rllib.problems.pod_migration.networks.building import build_network
from spane_rllib.problems.pod_migration.policies import PodPolicy, load_policy
from spane_rllib.problems.pod_migration.results import play_days
from spane_rllib.problems.problem import Case, Evaluation, Identity, Part

if TYPE_CHECKING:
    import pandas as pd

    from spane_rllib.problems.pod_migration.problem import PodMigration


class PodTask(EnvironmentTask):
    """The task of an instance."""

    problem: PodMigration

    def __init__(self, problem: PodMigration, instance: PodInstance) -> None:
        self.problem, self.pods = problem, instance
        trace, cluster = instance.trace, instance.cluster
        # Names of what `shared` holds: workers need not find the files.
        self.keywords = instance.settings.model_dump(mode="json") | {
            "trace": f"content:{trace.sha256}",
            "cluster": f"content:{cluster.sha256}",
        }
        self._shared = {self.keywords["trace"]: trace, self.keywords["cluster"]: cluster}
        self.identity = Identity(
            trace.name,
            trace.sha256,
            instance.demand.windows,
            f"{trace.name}, {instance.demand.windows:,} windows of {instance.settings.window_s:g} s, content "
            f"sha256 {trace.sha256}; cluster {cluster.name}: {cluster.nodes} nodes, {cluster.pods} pods",
        )

    @property
    def shared(self) -> Mapping[str, Any]:
        return self._shared

    @property
    def case(self) -> Case:
        return self.pods.cluster.name

    def make(self, **keywords: Any) -> PodMigrationEnv:
        return PodMigrationEnv(instance=self.pods, **keywords)

    def build_network(self, kind: str, options: Mapping[str, Any], seed: int) -> nn.Module:
        return build_network(kind, options, self.pods, seed)

    def begin_run(
        self, network: Any, settings: Any, validation: Any, seed: int, target: nn.Module | None = None
    ) -> Run:
        days = chosen_days(self.pods.days("validation"), validation.episodes, validation.seed)
        rollouts = _PodRollouts(self, settings, days)
        return begin_run(network, settings, rollouts, validation.every, seed, target)

    def validate_baselines(self, names: Sequence[str], validation: Any) -> dict[str, float]:
        days = chosen_days(self.pods.days("validation"), validation.episodes, validation.seed)
        reward = list(WINDOW_COLUMNS).index("reward")
        return {
            name: -100
            * float(
                np.mean(
                    [
                        row[reward]
                        for row in play_days(self.pods, self.load_policy(name), days, validation.seed)
                    ]
                )
            )
            for name in names
        }

    def load_policy(self, text: str, name: str | None = None) -> PodPolicy:  # type: ignore[override]
        return load_policy(text, self.pods, name)

    def evaluation(self, settings: Any, cases: Sequence[Case] = ()) -> PodEvaluation:  # type: ignore[override]
        days = self.pods.days(settings.split)
        return PodEvaluation(self, chosen_days(days, settings.episodes, settings.seed), settings.seed)


class _PodRollouts(EnvironmentRollouts):
    """Training episodes are rewarded for resampled windows; validation for the windows themselves."""

    def __init__(self, task: PodTask, settings: Any, days: npt.NDArray[np.int64]) -> None:
        keywords = task.problem.keywords_of(settings)
        super().__init__(lambda: task.make(**keywords), settings.lanes, "penalty", -1, measured=_penalty)
        self._validated = EnvironmentRollouts(
            lambda: task.make(migration_factor=settings.migration_factor),
            len(days),
            "penalty",
            -1,
            validation=[{"options": {"start": day}} for day in days.tolist()],
            measured=_penalty,
        )

    def validate(self, network: nn.Module) -> dict[str, float]:
        return self._validated.validate(network)


def _penalty(rewards: npt.NDArray[np.float64], info: Mapping[str, Any]) -> float:
    return float(info["penalty"])


class PodEvaluation(Evaluation):
    """The windows of whole episodes.

    Args:
        task: what is played.
        days: (E,) first windows of disjoint episodes, in ascending order.
        seed: of random numbers that policies draw.
    """

    task: PodTask

    def __init__(self, task: PodTask, days: npt.NDArray[np.int64], seed: int) -> None:
        self.task, self.seed, self._days = task, seed, days
        self.horizon = task.pods.settings.horizon
        self.pairs = (days[:, None] + np.arange(self.horizon)).ravel()
        self.cases: tuple[Case, ...] = (task.case,)
        self.chosen = f"{len(days)} stretches of {self.horizon} windows; seed {seed}"

    def part(self, policy: PodPolicy, case: Case) -> Part:
        key = part_key(
            __name__,
            problem=self.task.problem.name,
            policy=policy.identity,
            instance=self.task.pods.identity,
            windows=array_digest(self.pairs),
            seed=self.seed,
        )
        return Part(policy, case, key)

    def play(self, part: Part, first: int, last: int) -> pd.DataFrame:
        import pandas as pd

        # Whole episodes, of which only the windows that are asked for are kept.
        begin = first // self.horizon
        days = self._days[begin : -(-last // self.horizon)]
        rows = play_days(self.task.pods, part.policy, days, self.seed)
        table = pd.DataFrame(rows, columns=list(WINDOW_COLUMNS))
        table.insert(0, "policy", part.policy.name)
        table.insert(1, self.task.problem.case, part.case)
        offset = begin * self.horizon
        return table.iloc[first - offset : last - offset].reset_index(drop=True)

    def record(self, policies: Sequence[Any], folder: Path, most: int) -> Iterator[Path]:
        from spane_rllib.problems.pod_migration.viewing.recorder import record_day

        for policy in policies:
            for day in self._days[:most].tolist():
                yield record_day(self.task.pods, policy, day, folder, self.seed)

    def results(
        self, episodes: pd.DataFrame, summary: pd.DataFrame
    ) -> Iterator[tuple[str, pd.DataFrame | str]]:
        yield "windows.csv", episodes
        yield "summary.csv", summary[list(SUMMARY_COLUMNS)]


def chosen_days(days: npt.NDArray[np.int64], count: int | str, seed: int) -> npt.NDArray[np.int64]:
    """`count` of the `days`, all of them where there are no more, in ascending order."""
    if count == "all" or int(count) >= len(days):
        return days
    return np.sort(np.random.default_rng(seed).choice(days, int(count), replace=False))
