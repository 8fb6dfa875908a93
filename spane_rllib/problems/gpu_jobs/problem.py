"""The problem of GPU jobs: what generic code asks for. Light: what is heavy is imported when it is needed."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field, Strict

from spane_rllib.core.console import whole_number
from spane_rllib.core.errors import one_line
from spane_rllib.core.settings import Settings, Share, distinct, one_of, validated
from spane_rllib.core.strict_yaml import parse_yaml
from spane_rllib.learning.algorithms import A2cSettings, DqnSettings, PpoSettings, SacSettings
from spane_rllib.problems.environments import EnvironmentSpec
from spane_rllib.problems.gpu_jobs import environment_ids
from spane_rllib.problems.gpu_jobs.columns import BLOCK_COLUMNS
from spane_rllib.problems.gpu_jobs.names import POLICIES
from spane_rllib.problems.gpu_jobs.networks.options import NETWORKS
from spane_rllib.problems.gpu_jobs.settings import GpuJobsSettings
from spane_rllib.problems.gpu_jobs.viewing.viewer import ScheduleViewer
from spane_rllib.problems.measures import Measure, Statistic, Statistics
from spane_rllib.problems.problem import EpisodeCount, EpisodeSettings, Evaluation, Identity, Problem

if TYPE_CHECKING:
    import pandas as pd

    from spane_rllib.core.bootstrap import Numbers, Resamples
    from spane_rllib.problems.gpu_jobs.task import GpuJobsTask
    from spane_rllib.problems.problem import Block


class GpuJobsEvaluationSettings(EpisodeSettings):
    """The workloads that policies are compared on."""

    episodes: EpisodeCount = Field(
        default=50, description="Blocks of equally many jobs in the order of arrival, for intervals."
    )
    jobs: Annotated[tuple[str, ...], Strict(False), AfterValidator(distinct)] = Field(
        default=(), description="Workloads, as `jobs` names one; none: just that one."
    )
    measured: Annotated[tuple[Share, Share], Strict(False)] = Field(
        default=(0.0, 1.0),
        description="Part of the jobs, in the order of arrival, that counts: [0.2, 0.8] leaves out how a run "
        "begins and ends.",
    )


class GpuJobs(Problem):
    """Which waiting job starts next on a cluster of several GPU types."""

    name = "gpu_jobs"
    title = "Jobs on a cluster of several GPU types: complete them early, the urgent ones first"
    measure = Measure("weighted_jct", "_s", "validation completion time by priority, s", "less", "{:,.0f} s")
    environments: Mapping[str, EnvironmentSpec] = environment_ids.GPU_JOBS
    instance = GpuJobsSettings
    evaluation = GpuJobsEvaluationSettings
    algorithms: Mapping[str, type[Settings]] = {
        "ppo": PpoSettings,
        "dqn": DqnSettings,
        "sac": SacSettings,
        "a2c": A2cSettings,
    }
    networks: Mapping[str, type[Settings]] = NETWORKS
    baselines: Mapping[str, str] = POLICIES
    statistics = Statistics(
        by_name={
            "weighted_jct_s": Statistic("JCT by priority, s", "{:,.1f}"),
            "avg_jct_s": Statistic("mean JCT, s", "{:,.1f}"),
            "bounded_slowdown": Statistic("bounded slowdown", "{:,.2f}"),
            "completion_rate": Statistic("completed", "{:.1%}", None),
        },
        headline="weighted_jct_s",
        compared=("weighted_jct_s", "avg_jct_s", "bounded_slowdown"),
        value="weighted_jct_s",
        value_title="completion time by priority of a block, s",
        tie=1e-6,
        verbs=("completes earlier", "as early", "later"),
        note=(
            "JCT is the time from a job's arrival to its end; jobs that have not ended count the time since "
            "they arrived, under the corrected rules. The lower bound of the mean JCT holds for every policy."
        ),
        blocks="arrivals",
        reference="weighted_shortest",
        figure="completion_times",
    )
    episode_columns: Mapping[str, type] = BLOCK_COLUMNS
    case = "workload"
    pair = "block"
    changeable = ("evaluation.jobs",)
    viewer = ScheduleViewer()

    def check(self, config: Any) -> None:
        """Baselines exist, and networks fit the rules and the algorithm."""
        for name in config.evaluation.heuristics:
            try:
                one_of(name, self.baselines)
            except ValueError as error:
                raise ValueError(f"evaluation.heuristics: {error}") from error
        for name, method in config.methods.items():
            if method.network in ("d3qn", "sac") and config.rules != "published":
                raise ValueError(f"methods.{name}: network {method.network} needs rules: published")
            if method.network == "sac" and method.algorithm in ("ppo", "a2c"):
                raise ValueError(f"methods.{name}: network sac has no state value; use dqn or sac")

    def load(self, settings: Any, shared: Mapping[str, Any] | None = None) -> GpuJobsTask:
        from spane_rllib.problems.gpu_jobs.task import GpuJobsTask

        fields = settings.model_dump(mode="json", include=set(self.instance.model_fields))
        return GpuJobsTask(self, validated(self.instance, fields))

    def load_environment(self, environment: str, keywords: Mapping[str, Any]) -> GpuJobsTask:
        from spane_rllib.problems.gpu_jobs.task import GpuJobsTask

        return GpuJobsTask(self, validated(self.instance, dict(keywords), "env_config"))

    def compile_ahead(self) -> None:
        from spane_rllib.problems.gpu_jobs.instance import Instance

        session = Instance(GpuJobsSettings()).episode(0)
        session.step(int(session.observation["action_mask"].argmax()))

    def placed(self, settings: Any, data: str | None = None) -> Any:
        text = settings.jobs if data is None else data
        return settings.model_copy(update={"jobs": _elsewhere(text)})

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--jobs",
            action="append",
            metavar="FILE",
            help="workload: a file, synthetic[:jobs=N,load=L,seed=S] or published[:seconds=T,seed=S]; "
            "repeatable (synthetic)",
        )
        for name, text in (
            ("reading", "what the columns mean, as in '{form: pai2020, fractions: up}'"),
            (
                "cluster",
                "the GPUs, as in '{types: [{name: A, count: 8, flops: 1.0e+13, node: 4}], split: never}'",
            ),
            ("rules", "corrected or published (corrected)"),
            ("horizon", "seconds at which simulations are cut off (never)"),
            ("runtimes", "what is known of run times: known, estimated or unknown (known)"),
            ("noise", "standard deviation of the logarithm of estimates (0.5)"),
            ("restart", "seconds that an interrupted job loses (30)"),
        ):
            parser.add_argument(f"--{name}", metavar="VALUE", help=text)
        parser.add_argument(
            "--rebase", action="store_true", help="the first job arrives at 0 under the published rules, too"
        )
        parser.add_argument("--measured", metavar="[A,B]", help="part of the jobs that counts ([0,1])")
        parser.add_argument(
            "--episodes", type=whole_number(1, 1_000_000), metavar="B", help="blocks of arrivals (50)"
        )
        parser.add_argument(
            "--seed", type=whole_number(0, 2**32 - 1), metavar="S", help="seed of estimates and `random` (0)"
        )
        parser.add_argument(
            "--parquet", action="store_true", help="write jobs.parquet in place of jobs.csv (evaluate)"
        )

    def evaluation_of(self, arguments: argparse.Namespace) -> Evaluation:
        fields: dict[str, Any] = {}
        for name in ("reading", "cluster", "rules", "horizon", "runtimes", "noise", "restart"):
            if (text := getattr(arguments, name)) is not None:
                fields[name] = parse_yaml(text, one_line(f"argument --{name}"))
        if arguments.rebase:
            fields["rebase"] = True
        if arguments.jobs:
            fields["jobs"] = arguments.jobs[0]
        settings: dict[str, Any] = {
            name: value for name in ("episodes", "seed") if (value := getattr(arguments, name)) is not None
        }
        if arguments.measured is not None:
            settings["measured"] = parse_yaml(arguments.measured, "argument --measured")
        task = self.load(validated(self.instance, fields))
        chosen = {**settings, "jobs": list(dict.fromkeys(arguments.jobs or ()))}
        evaluation = task.evaluation(validated(self.evaluation, chosen))
        evaluation.parquet = arguments.parquet
        return evaluation

    def job_arguments(self, arguments: argparse.Namespace) -> list[str]:
        words: list[str] = []
        for text in arguments.jobs or ():
            words += ["--jobs", _elsewhere(text)]
        for name in ("reading", "cluster", "rules", "horizon", "runtimes", "noise", "restart", "measured"):
            if (value := getattr(arguments, name)) is not None:
                words += [f"--{name}", value]
        for name in ("episodes", "seed"):
            if (number := getattr(arguments, name)) is not None:
                words += [f"--{name}", str(number)]
        return [*words, *(["--rebase"] if arguments.rebase else [])]

    def import_models(self, folders: Mapping[Path, Path]) -> list[str]:
        from spane_rllib.problems.gpu_jobs.networks.published import import_published

        return import_published(folders)

    def summarize(self, episodes: pd.DataFrame) -> pd.DataFrame:
        from spane_rllib.problems.gpu_jobs.results import summarize

        return summarize(episodes)

    def summary_text(self, summary: pd.DataFrame) -> str:
        from spane_rllib.problems.gpu_jobs.results import summary_text

        return summary_text(summary)

    def estimate(self, episodes: pd.DataFrame, resamples: Resamples) -> dict[str, Numbers]:
        from spane_rllib.problems.gpu_jobs.results import estimate

        return estimate(episodes, resamples)

    def what_was_run(self, config: Any, identity: Identity) -> Iterator[str]:
        yield f"Workload: {identity.description}."
        types = ", ".join(f"{each.count} {each.name}" for each in config.cluster.types)
        yield f"Cluster: {types}; {config.rules} rules; run times are {config.runtimes}."

    def report(self, episodes: pd.DataFrame, summary: pd.DataFrame, trials: pd.DataFrame) -> Iterator[Block]:
        from spane_rllib.problems.gpu_jobs.report import report

        return report(episodes, summary)


def _elsewhere(text: str) -> str:
    """A workload's text as it means the same in another folder."""
    return str(Path(text).absolute()) if Path(text).exists() else text


GPU_JOBS = GpuJobs()
