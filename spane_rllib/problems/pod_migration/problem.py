"""Pod migration as spane_rllib asks for it. Light: what is heavy is imported when it is needed."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from spane_rllib.core.settings import Settings, validated
from spane_rllib.problems.environment_problem import EnvironmentProblem
from spane_rllib.problems.environments import EnvironmentSpec
from spane_rllib.problems.measures import Measure, Statistic, Statistics
from spane_rllib.problems.pod_migration import environment_ids
from spane_rllib.problems.pod_migration.columns import ROW_COLUMNS
from spane_rllib.problems.pod_migration.planning import PodPlanning
from spane_rllib.problems.pod_migration.settings import (
    NETWORKS,
    PodDqnSettings,
    PodEvaluationSettings,
    PodPpoSettings,
    PodSettings,
    PodValidationSettings,
)
from spane_rllib.problems.pod_migration.viewing.viewer import PodViewer
from spane_rllib.problems.problem import Evaluation, Identity

if TYPE_CHECKING:
    import gymnasium
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    from torch import nn

    from spane_rllib.core.bootstrap import Resamples
    from spane_rllib.problems.environment_problem import Baseline
    from spane_rllib.problems.pod_migration.task import PodTask
    from spane_rllib.problems.problem import Block

_OF_TRAINING = ("resampled_windows", "training_horizon", "shaping", "discount", "migration_factor")
"""Keywords of environments that hyper-parameters decide."""


class PodMigration(EnvironmentProblem):
    """Pods move between windows of demand, so that fewer nodes are overloaded."""

    name = "pod_migration"
    title = "Pods on nodes, windows of demand: move few pods, overload few nodes"
    measure = Measure("penalty", "", "penalty of a window, %", "less", "{:.3f}")
    environments: Mapping[str, EnvironmentSpec] = environment_ids.POD_MIGRATION
    instance = PodSettings
    validation = PodValidationSettings
    evaluation = PodEvaluationSettings
    algorithms: Mapping[str, type[Settings]] = {"ppo": PodPpoSettings, "dqn": PodDqnSettings}
    networks: Mapping[str, type[Settings]] = NETWORKS
    baselines: Mapping[str, str] = {
        "no-op": "nothing moves",
        "random": "as many moves as are allowed, each anywhere",
        "threshold-greedy": "the published rule: the largest pod goes from the most to the least loaded node "
        "while loads are uneven",
        "largest-pod": "the largest pod leaves the most loaded node while it was overloaded",
        "repack": "best fit decreasing once a node was overloaded, as far as moves are allowed",
        "descheduler": "LowNodeUtilization of the descheduler, thresholds 20 and 50 % (those of its example)",
        "descheduler-30-60": "the same with 30 and 60 %",
        "interleave": "pods that are handed requests one after the other go to different nodes",
        "forecast-mean": "the integer program, if the mean of the last 6 windows came again",
        "forecast-seasonal": "the integer program, if the same window of yesterday came again",
        "foresight": "the integer program, which knows the window that comes",
    }
    case = "cluster"
    pair = "window"
    changeable = ("trace", "cluster")
    planning = PodPlanning()
    viewer = PodViewer()

    def __init__(self) -> None:
        self.statistics = Statistics(
            by_name={
                "violations": Statistic("violations", "{:,.2f}"),
                "violation_rate": Statistic("violation rate", "{:.3%}", derived=True),
                "reward_mean": Statistic("reward", "{:,.3f}", "more"),
                "cpu_over": Statistic("CPU over", "{:,.2f}"),
                "cpu_under": Statistic("CPU under", "{:,.2f}"),
                "mem_over": Statistic("memory over", "{:,.2f}"),
                "mem_under": Statistic("memory under", "{:,.2f}"),
                "unsatisfied": Statistic("unsatisfied", "{:,.2f}"),
                "migrations": Statistic("migrations", "{:,.2f}"),
                "moved_cpu": Statistic("moved CPU", "{:,.1f}", derived=True),
                "moved_memory": Statistic("moved memory", "{:,.1f}", derived=True),
            },
            headline="violations",
            compared=("violations", "reward_mean", "unsatisfied", "migrations"),
            value="violations",
            value_title="overloaded node-slots of a window",
            verbs=("overloads less", "as much", "more"),
            note=(
                "Counts are of an episode: node-slots that are overloaded (violations, in CPU or memory) or "
                "underloaded, pods per slot that are given less than they ask for, pods moved and what they "
                "ask for. Rows of the tables are windows, resampled in blocks."
            ),
            block_rows=144,
            blocks="windows",
            reference="no-op",
            figure="violations",
        )
        self.episode_columns = ROW_COLUMNS

    def build_network(self, kind: str, options: Any, spaces: gymnasium.spaces.Dict) -> nn.Module:
        """Networks are as big as no cluster; `PodTask.build_network` makes them."""
        raise NotImplementedError

    def baseline(self, name: str) -> Baseline:
        """Planners see more than an observation; `PodTask.load_policy` makes them."""
        raise NotImplementedError

    def load(self, settings: Any, shared: Mapping[str, Any] | None = None) -> PodTask:
        return self._task({name: getattr(settings, name) for name in self.instance.model_fields})

    def load_environment(self, environment: str, keywords: Mapping[str, Any]) -> PodTask:
        return self._task({name: value for name, value in keywords.items() if name not in _OF_TRAINING})

    def _task(self, fields: dict[str, Any]) -> PodTask:
        from spane_rllib.problems.pod_migration.instance import PodInstance
        from spane_rllib.problems.pod_migration.task import PodTask

        return PodTask(self, PodInstance(validated(PodSettings, fields, "env_config")))

    def keywords_of(self, settings: Any) -> dict[str, Any]:
        return {name: getattr(settings, name) for name in _OF_TRAINING}

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        from spane_rllib.problems.pod_migration.arguments import add_arguments

        add_arguments(parser)

    def evaluation_of(self, arguments: argparse.Namespace) -> Evaluation:
        from spane_rllib.problems.pod_migration.arguments import evaluation_of

        return evaluation_of(self, arguments)

    def job_arguments(self, arguments: argparse.Namespace) -> list[str]:
        from spane_rllib.problems.pod_migration.arguments import job_arguments

        return job_arguments(arguments)

    def placed(self, settings: Any, data: str | None = None) -> Any:
        from spane_rllib.problems.pod_migration.arguments import placed

        return placed(settings, data)

    def summarize(self, episodes: pd.DataFrame) -> pd.DataFrame:
        import pandas as pd

        from spane_rllib.core.bootstrap import Resamples
        from spane_rllib.problems.pod_migration.results import window_statistics

        rows = []
        for (policy, case), group in episodes.groupby(["policy", self.case], sort=False):
            values = window_statistics(group, Resamples.none(len(group)))
            row = {"policy": policy, self.case: case, "episodes": group["episode"].nunique()}
            rows.append(row | {name: float(value[0]) for name, value in values.items()})
        return pd.DataFrame(rows)

    def estimate(self, episodes: pd.DataFrame, resamples: Resamples) -> dict[str, npt.NDArray[np.float64]]:
        from spane_rllib.problems.pod_migration.results import window_statistics

        return window_statistics(episodes, resamples)

    def what_was_run(self, config: Any, identity: Identity) -> Iterator[str]:
        yield f"Demand: {identity.description}."
        yield (
            f"Episodes of {config.horizon} windows, at most {config.moves} moves before each; requests of a "
            f"pod are {config.resource_model}, nodes are shared {config.allocation}."
        )
        shares = ", ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in config.splits)
        yield f"Shares of the windows: {shares}."

    def report(self, episodes: pd.DataFrame, summary: pd.DataFrame, trials: pd.DataFrame) -> Iterator[Block]:
        from spane_rllib.problems.pod_migration.report import report

        return report(summary, trials)


POD_MIGRATION = PodMigration()
