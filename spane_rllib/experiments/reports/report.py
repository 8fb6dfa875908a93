"""The report of an experiment: what was run, what came out, and what that does and does not show."""

from __future__ import annotations

import datetime
import shlex
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

import pandas as pd

from spane_rllib import __version__
from spane_rllib.core.files import write_text
from spane_rllib.core.markdown import image, inline, table
from spane_rllib.experiments.tuning.config import ExperimentConfig, MethodSettings
from spane_rllib.experiments.tuning.search_space import Distribution
from spane_rllib.problems.vm_scheduling.waits.reading import read_results
from spane_rllib.problems.vm_scheduling.waits.statistics import CATASTROPHE_S, STATISTICS, statistic_text


def write_report(
    directory: Path,
    config: ExperimentConfig,
    trials: pd.DataFrame,
    summary: pd.DataFrame,
    episodes: pd.DataFrame,
    stages: Mapping[str, float],
    trace_description: str,
    figures: Sequence[Path],
    *,
    date: datetime.date,
    machine: str | None = None,
) -> Path:
    """Write `report.md` into `directory` and return its path.

    Args:
        directory: folder of the experiment; made if absent.
        config: the experiment.
        trials: one row per trial with the columns `method`, `trial`, `seed`, `status`, `rank`,
            `best_validation_wait_s`, `best_gradient_steps`, `time_s`, the hyper-parameters (`options.<name>`
            and `training.<name>`) and, where trials failed, `error`.
        summary: `vm_scheduling.evaluation.SUMMARY_COLUMNS`; learned policies are named after their trial.
        episodes: `vm_scheduling.evaluation.EPISODE_COLUMNS`.
        stages: wall time of each stage, seconds.
        trace_description: one line: the trace, its length and its hash.
        figures: image files to embed.
        date: when the experiment was run.
        machine: what it ran on, one line.

    Raises:
        UserError: the file cannot be written.
    """
    path = directory / "report.md"
    method_of = dict(zip(trials["trial"], trials["method"], strict=True))
    best_trials = list(trials.loc[trials["rank"] == 1, "trial"])
    summary = summary.sort_values(["servers", "trimmed_mean_10_s"], kind="stable")
    blocks = [
        f"# {config.name}",
        f"{date:%Y-%m-%d}, spane_rllib {__version__}" + (f", {machine}" if machine else "") + ".",
        *_what_was_run(config, trials, trace_description),
        "## Reading",
        *read_results(summary, episodes, method_of, best_trials),
        "## Waits",
        "Total wait of an episode in seconds, best first. A trimmed mean drops the named share of episodes "
        f"at each end; a catastrophe is an episode with more than {CATASTROPHE_S:,.0f} s; the lower bound "
        "holds for every policy without migration; mean log1p is the mean of log(1 + total wait).",
        table(
            ("policy", "method", "servers", *STATISTICS.values()),
            [
                (row["policy"], method_of.get(row["policy"], "heuristic"), row["servers"], *_statistics(row))
                for _, row in summary.iterrows()
            ],
            text_columns=2,
        ),
        *chain.from_iterable(_method(name, config.methods[name], trials, summary) for name in config.methods),
        *_unfinished(trials),
        "## Wall time",
        table(
            ("stage", "seconds"),
            [(name, _seconds(value)) for name, value in (*stages.items(), ("all", sum(stages.values())))],
        ),
        *(["## Figures"] if figures else []),
        *(image(figure, directory) for figure in figures),
    ]
    write_text(path, "\n\n".join(blocks) + "\n")
    return path


def _what_was_run(config: ExperimentConfig, trials: pd.DataFrame, trace: str) -> Iterator[str]:
    cluster, evaluation = config.cluster, config.evaluation
    sizes = ", ".join(map(str, evaluation.servers or (cluster.servers,)))
    parts = (
        ", ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in config.splits.model_dump().items())
        if config.splits
        else "the trace's published ones, else the default ones"
    )
    yield "## What was run"
    yield "\n".join(
        [
            f"- Trace: {inline(trace)}.",
            f"- Cluster: {cluster.servers:,} servers of two NUMA nodes, each {cluster.node_cpu:g} CPU cores "
            f"and {cluster.node_memory:g} GiB; a VM above {cluster.double_memory_threshold:g} GiB is split "
            "over both nodes.",
            f"- Shares of the trace where episodes start: {parts}.",
            f"- Seed {config.seed} decides all settings and trials, seed {evaluation.seed} the evaluated "
            "episodes.",
            f"- Validation: mean total wait of {config.validation.episodes:,} episodes without the "
            f"{config.validation.trim:.0%} at each end, every {config.validation.every:,} gradient steps; it "
            "chooses the weights of a trial and the best trials.",
            f"- Evaluation: the best {evaluation.top_k} trials of each method on {evaluation.episodes:,} "
            f"{evaluation.split} episodes each; servers: {sizes}.",
        ]
    )
    rows = []
    for name, method in config.methods.items():
        status = trials.loc[trials["method"] == name, "status"]
        finished = int((status == "TERMINATED").sum())
        rows.append((name, method.network, len(status) // method.seeds, method.seeds, len(status), finished))
    header = ("method", "network", "configurations tried", "seeds of each", "trials", "finished")
    yield table(header, rows, text_columns=2)
    source = shlex.quote(f"{config.output}/{config.name}/config.yaml")
    yield f"Run it again, under another name:\n\n```\npython -m spane_rllib.tune {source} " + (
        f"--set name={config.name[:94]}-again\n```"
    )


def _method(name: str, method: MethodSettings, trials: pd.DataFrame, summary: pd.DataFrame) -> Iterator[str]:
    """The evaluated trials of a method: all of them, so that none is picked after the fact."""
    own = trials[trials["method"] == name].sort_values("rank", kind="stable")
    own = own[own["trial"].isin(summary["policy"])]
    yield f"## Method {name}"
    if own.empty:
        yield "No trial was evaluated."
        return
    sections = {"options": method.options, "training": method.training}
    searched = [
        f"{section}.{key}"
        for section, space in sections.items()
        for key, leaf in space.items()
        if isinstance(leaf, Distribution)
    ]
    yield "Evaluated trials, best by validation first, with the hyper-parameters that were searched."
    yield table(
        ("trial", "rank", "seed", "validation wait, s", "at gradient step", "time, s", *searched),
        [
            (
                row["trial"],
                f"{row['rank']:.0f}",
                row["seed"],
                _seconds(row["best_validation_wait_s"]),
                _seconds(row["best_gradient_steps"]),
                _seconds(row["time_s"]),
                *(_value(row[key]) for key in searched),
            )
            for _, row in own.iterrows()
        ],
    )
    ranks = dict(zip(own["trial"], own["rank"], strict=True))
    rows = []
    for servers, group in summary[summary["policy"].isin(ranks)].groupby("servers"):
        ordered = group.sort_values("policy", key=lambda names: names.map(ranks))
        rows += [(row["policy"], servers, *_statistics(row)) for _, row in ordered.iterrows()]
        mean = ordered.drop(columns=["policy"]).mean()
        rows.append((f"**mean of these {len(ordered)}**", servers, *_statistics(mean)))
    yield "The same trials on the evaluated episodes."
    yield table(("trial", "servers", *STATISTICS.values()), rows)


def _statistics(row: pd.Series) -> tuple[str, ...]:
    return tuple(statistic_text(name, row[name]) for name in STATISTICS)


def _unfinished(trials: pd.DataFrame) -> Iterator[str]:
    yield "## Trials that did not finish"
    unfinished = trials[trials["status"] != "TERMINATED"]
    if unfinished.empty:
        yield "None."
        return
    reasons = unfinished["error"] if "error" in unfinished else pd.Series("", unfinished.index)
    reasons = reasons.fillna("").astype(str).replace("", "not recorded")
    rows = zip(unfinished["trial"], unfinished["status"], reasons, strict=True)
    yield table(("trial", "status", "reason"), list(rows), text_columns=3)


def _seconds(value: float) -> str:
    return "n/a" if pd.isna(value) else f"{value:,.0f}"


def _value(value: object) -> str:
    if pd.isna(value):
        return "none"
    # A column of whole numbers turns to floats where another method has no value.
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() else f"{value:.4g}"
    return str(value)
