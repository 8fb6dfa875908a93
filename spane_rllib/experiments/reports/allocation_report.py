"""Evaluation and report of an experiment with a scenario: how many VMs the best trials place."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pandas as pd

from spane_rllib import __version__
from spane_rllib.core.errors import UserError
from spane_rllib.core.files import replacing, write_text
from spane_rllib.experiments.reports.figures import training_curves_figure
from spane_rllib.experiments.reports.markdown import image, inline, table
from spane_rllib.experiments.reports.plotting import save
from spane_rllib.experiments.results.folder import ResultsFolder
from spane_rllib.experiments.results.identity import read_trace_record
from spane_rllib.experiments.tuning.config import ExperimentConfig
from spane_rllib.problems.vm_scheduling.allocations.comparison import compare_allocations, verdict
from spane_rllib.problems.vm_scheduling.allocations.evaluation import EPISODE_COLUMNS, summarize

_COMPARED = (
    "policy",
    "method",
    "seed",
    "validation",
    "VMs",
    "difference",
    "95% interval",
    "more",
    "fewer",
    "",
)


def read_allocation_episodes(file: Path) -> pd.DataFrame:
    """A table of episodes with the columns `EPISODE_COLUMNS`; a `UserError` when it is none."""
    try:
        episodes = pd.read_csv(file, dtype={"policy": "str", "scenario": "str"})
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}") from error
    except ValueError as error:
        raise UserError(f"{file} is damaged ({error}); delete it, --resume writes it again") from error
    if missing := [name for name in EPISODE_COLUMNS if name not in episodes]:
        raise UserError(f"{file} is damaged (no column {missing[0]}); delete it, --resume writes it again")
    return episodes


def write_allocation_summary(folder: ResultsFolder) -> list[Path]:
    """Write `comparison.csv`, the training curves, whose path is returned, and `report.md`.

    Reads `trials.csv`, `curves.csv` and `episodes.csv`.
    """
    config, record = folder.load_config(), read_trace_record(folder)
    trials = pd.read_csv(folder.path / "trials.csv", dtype={"error": str}).fillna({"error": ""})
    curves = pd.read_csv(folder.path / "curves.csv")
    episodes = read_allocation_episodes(folder.path / "episodes.csv")
    figures = []
    if len(curves):
        figures.append(save(training_curves_figure(trials, curves), folder.figures / "training_curves.png"))
    learned = set(trials["trial"])
    comparisons = []
    for _, group in episodes.groupby("servers"):
        summary = summarize(group).set_index("policy")["allocations_mean"]
        heuristics = summary.drop([name for name in summary.index if name in learned])
        if len(heuristics) and len(summary) > 1:
            comparisons.append(compare_allocations(group, str(heuristics.idxmax())))
    if comparisons:
        with replacing(folder.path / "comparison.csv") as temporary:
            pd.concat(comparisons, ignore_index=True).to_csv(temporary, index=False)
    blocks = [
        f"# {config.name}",
        f"{date.today():%Y-%m-%d}, spane_rllib {__version__}. Scenario {inline(config.scenario)}; trace "
        f"{inline(record.name)}, {record.vms:,} VMs, content sha256 {record.sha256}.",
        f"Validation: mean allocations of {config.validation.episodes:,} episodes; it chooses the weights of "
        f"a trial and the best {config.evaluation.top_k} trials of each method, which play "
        f"{config.evaluation.episodes:,} {config.evaluation.split} episodes.",
        *_trials(config, trials),
        *(text for comparison in comparisons for text in _compared(comparison, trials)),
        *(image(figure, folder.path) for figure in figures),
    ]
    write_text(folder.path / "report.md", "\n\n".join(blocks) + "\n")
    return figures


def _trials(config: ExperimentConfig, trials: pd.DataFrame) -> Iterator[str]:
    yield "## Trials"
    best = trials["best_validation_allocations"].astype(float)
    rows = []
    for name, method in config.methods.items():
        own = trials["method"] == name
        finished = int((trials.loc[own, "status"] == "TERMINATED").sum())
        values = ", ".join(f"{value:.1f}" for value in sorted(best[own].dropna(), reverse=True))
        rows.append((name, method.algorithm, method.network, int(own.sum()), finished, values))
    header = ("method", "algorithm", "network", "trials", "finished", "best validation of each, VMs")
    yield table(header, rows, text_columns=3)
    failed = trials[trials["status"] != "TERMINATED"]
    if len(failed):
        lines = (f"- {row.trial}: {row.status} {inline(row.error)}" for row in failed.itertuples())
        yield "Trials that did not finish:\n\n" + "\n".join(lines)


def _compared(comparison: pd.DataFrame, trials: pd.DataFrame) -> Iterator[str]:
    first = comparison.iloc[0]
    yield f"## Allocations on {first['servers']} servers"
    yield (
        f"Mean over {first['episodes']:,} episodes, and the difference to the heuristic that places most on "
        f"these very episodes, `{first['reference']}` with {first['reference_allocations']:,.1f} VMs. "
        "Intervals are 95% percentile intervals of resampled blocks of start rows, the same for every "
        "policy; `more` and `fewer` count the episodes in which a policy places more or fewer VMs than it."
    )
    known = trials.set_index("trial")
    rows = []
    for _, row in comparison.iterrows():
        of_trial = ("heuristic", "", "")
        if row["policy"] in known.index:
            trial = known.loc[row["policy"]]
            of_trial = trial["method"], trial["seed"], f"{trial['best_validation_allocations']:,.1f}"
        rows.append(
            (
                row["policy"],
                *of_trial,
                f"{row['allocations']:,.1f}",
                f"{row['difference']:+,.2f}",
                f"{row['difference_low']:+,.2f} to {row['difference_high']:+,.2f}",
                row["more"],
                row["fewer"],
                verdict(row),
            )
        )
    yield table(_COMPARED, rows, text_columns=2)
