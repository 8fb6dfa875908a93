"""VM rescheduling: few live migrations that give a fragmented region room for large VMs again."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spane_rllib.core.console import whole_number
from spane_rllib.core.settings import Settings, one_of, validated
from spane_rllib.problems.environments import EnvironmentSpec
from spane_rllib.problems.measures import Measure, Statistic, Statistics
from spane_rllib.problems.problem import Evaluation, Identity, Problem
from spane_rllib.problems.vm_rescheduling import environment_ids
from spane_rllib.problems.vm_rescheduling.planning import ReschedulePlanning, positive
from spane_rllib.problems.vm_rescheduling.settings import (
    AttentionOptions,
    RescheduleEvaluationSettings,
    ReschedulePpoSettings,
    RescheduleSettings,
    RescheduleValidationSettings,
    SparseOptions,
)
from spane_rllib.problems.vm_rescheduling.viewing.viewer import PlanViewer

if TYPE_CHECKING:
    import pandas as pd

    from spane_rllib.core.bootstrap import Numbers, Resamples
    from spane_rllib.problems.problem import Block
    from spane_rllib.problems.vm_rescheduling.task import RescheduleTask

PLANNERS = {
    "search": "column generation over what may become of each machine, put in order: with a bound",
    "ha": "the published heuristic: the VM whose leaving helps most, to where its coming does",
    "vbpp": "vector bin packing: the worst ten VMs at a time, largest first, to where they fit best",
    "balcon": "BalCon's force step: makes room by moving smaller VMs away (FGCS 147, 2023)",
    "beam": "beam search on the simulator",
    "mcts": "Monte Carlo tree search over the best migrations, with the heuristic as its rollout",
    "mip": "the whole mapping as an integer program over types of VMs, on HiGHS: with a bound",
    "pop": "the integer program on sixteen parts of the machines (POP, SOSP 2021)",
    "random": "any VM to any place where it may go",
}
"""Planners, one line each."""


class RescheduleProblem(Problem):
    """At most M migrations, so that little of what is free is in fragments (VMR2L, EuroSys 2025)."""

    name = "vm_rescheduling"
    title = "VMs of a fragmented region, a limit of live migrations: the lowest fragment rate"
    measure = Measure("fragment_rate", "", "validation fragment rate", "less", "{:.4f}")
    environments: Mapping[str, EnvironmentSpec] = environment_ids.VM_RESCHEDULING
    instance = RescheduleSettings
    validation = RescheduleValidationSettings
    evaluation = RescheduleEvaluationSettings
    factored_actions = True
    algorithms: Mapping[str, type[Settings]] = {"ppo": ReschedulePpoSettings}
    networks: Mapping[str, type[Settings]] = {"sparse": SparseOptions, "attention": AttentionOptions}
    baselines: Mapping[str, str] = PLANNERS
    statistics = Statistics(
        by_name={
            "mean": Statistic("fragment rate", "{:.4f}"),
            "before": Statistic("before", "{:.4f}", None),
            "bound": Statistic("lower bound", "{:.4f}", None),
            "gap": Statistic("gap to the bound, %", "{:.2f}"),
            "migrations": Statistic("migrations", "{:.1f}"),
            "seconds": Statistic("seconds", "{:.3f}"),
            "slowest": Statistic("slowest, s", "{:.3f}"),
        },
        headline="mean",
        compared=("mean", "gap", "migrations", "seconds"),
        value="fragment_rate_after",
        value_title="fragment rate after the plan",
        tie=1e-9,
        verbs=("is lower", "as low", "higher"),
        blocks="mappings",
        reference="ha",
        note="The gap is how far the mean lies above the mean of the lower bounds, for any plan.",
    )
    episode_columns: Mapping[str, type] = {
        "policy": str,
        "map": int,
        "mapping": str,
        "migration_limit": int,
        "migrations": int,
        "fragment_rate_before": float,
        "fragment_rate_after": float,
        "lower_bound": float,
        "seconds": float,
        "moves": str,
    }
    case = "migration_limit"
    case_text = "{} migrations"
    pair = "map"

    def __init__(self) -> None:
        self.planning = ReschedulePlanning(self)
        self.viewer = PlanViewer()

    def check(self, config: Any) -> None:
        """Only planners that there are can be compared with."""
        for name in config.evaluation.heuristics:
            try:
                one_of(name, self.baselines)
            except ValueError as error:
                raise ValueError(f"evaluation.heuristics: {error}") from error

    def load(self, settings: Any, shared: Mapping[str, Any] | None = None) -> RescheduleTask:
        from spane_rllib.problems.vm_rescheduling.task import RescheduleTask

        fields = settings.model_dump(mode="json", include=set(RescheduleSettings.model_fields))
        return RescheduleTask(self, validated(RescheduleSettings, fields))

    def load_environment(self, environment: str, keywords: Mapping[str, Any]) -> RescheduleTask:
        from spane_rllib.problems.vm_rescheduling.task import RescheduleTask

        fields = {name: value for name, value in keywords.items() if name in RescheduleSettings.model_fields}
        return RescheduleTask(self, validated(RescheduleSettings, fields, "env_config"))

    def placed(self, settings: Any, data: str | None = None) -> Any:
        source = settings.mappings if data is None else data
        if Path(source).exists():
            source = str(Path(source).resolve())
        return settings.model_copy(update={"mappings": source})

    def compile_ahead(self) -> None:
        from spane_rllib.problems.vm_rescheduling.policies import warm_up

        for name in ("search", "ha"):
            warm_up(name)

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--mapping",
            metavar="PATH",
            help="medium@published, large@published, a file (.json, .json.gz, .machines.csv or .parquet), a "
            "folder of them, or a synthetic kind: high, mid, low, large, multi, affinity (high)",
        )
        parser.add_argument(
            "--machines",
            type=whole_number(2, 100_000),
            metavar="P",
            help="machines of synthetic mappings (as many as the kind has)",
        )
        parser.add_argument(
            "--split", choices=("train", "validation", "test"), default="test", help="whose mappings (test)"
        )
        parser.add_argument(
            "--maps",
            type=whole_number(1, 1_000_000),
            metavar="K",
            help="mappings of the split, drawn with --seed (all of a file or folder, else 20)",
        )
        parser.add_argument(
            "--migrations",
            nargs="+",
            type=whole_number(1, 100_000),
            default=[50],
            metavar="M",
            help="migrations of a plan at most; one or more (50)",
        )
        parser.add_argument(
            "--seconds", type=positive, default=5.0, metavar="S", help="time of a plan at most (5)"
        )
        parser.add_argument(
            "--objective", default="fr16", metavar="NAME", help="fr16, mix:SHARE or memory:SHARE (fr16)"
        )
        parser.add_argument(
            "--seed",
            type=whole_number(0, 2**32 - 1),
            default=0,
            metavar="S",
            help="of drawn mappings and of what planners draw (0)",
        )

    def evaluation_of(self, arguments: argparse.Namespace) -> Evaluation:
        fields = {"migrations": arguments.migrations[0], "objective": arguments.objective}
        if arguments.mapping is not None:
            fields["mappings"] = arguments.mapping
        if arguments.machines is not None:
            fields["machines"] = arguments.machines
        task = self.load(validated(RescheduleSettings, fields))
        drawn: Any = arguments.maps or (20 if task.mappings.synthetic else "all")
        return task.evaluation(
            RescheduleEvaluationSettings(
                episodes=drawn,
                seed=arguments.seed,
                split=arguments.split,
                migration_limit=tuple(dict.fromkeys(arguments.migrations)),
                seconds=arguments.seconds,
            )
        )

    def summarize(self, episodes: pd.DataFrame) -> pd.DataFrame:
        import pandas as pd

        from spane_rllib.core.bootstrap import Resamples

        rows = []
        for (policy, case), group in episodes.groupby(["policy", self.case], sort=False):
            values = self.estimate(group, Resamples.none(len(group)))
            row = {"policy": policy, self.case: case, "episodes": len(group)}
            rows.append(row | {name: float(value[0]) for name, value in values.items()})
        return pd.DataFrame(rows, columns=["policy", self.case, "episodes", *self.statistics.by_name])

    def estimate(self, episodes: pd.DataFrame, resamples: Resamples) -> dict[str, Numbers]:
        import numpy as np

        def mean(column: str) -> Numbers:
            return resamples.means(episodes[column].to_numpy(np.float64))

        after, bound = mean("fragment_rate_after"), mean("lower_bound")
        with np.errstate(divide="ignore", invalid="ignore"):
            gap = np.where(bound > 0, 100 * (after / bound - 1), np.nan)
        return {
            "mean": after,
            "before": mean("fragment_rate_before"),
            "bound": bound,
            "gap": gap,
            "migrations": mean("migrations"),
            "seconds": mean("seconds"),
            "slowest": np.full(len(after), episodes["seconds"].max()),
        }

    def what_was_run(self, config: Any, identity: Identity) -> Iterator[str]:
        yield f"Mappings: {identity.description}."
        yield f"Objective {config.objective}; {config.evaluation.seconds:g} s for a plan."

    def report(self, episodes: pd.DataFrame, summary: pd.DataFrame, trials: pd.DataFrame) -> Iterator[Block]:
        from spane_rllib.problems.vm_rescheduling.report import report

        return report(episodes, summary)


VM_RESCHEDULING = RescheduleProblem()
