"""The report of a study."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from spane_rllib import __version__
from spane_rllib.core.bootstrap import Resamples
from spane_rllib.core.files import write_text
from spane_rllib.core.markdown import image, inline, table
from spane_rllib.experiments.reports.comparison_report import bootstrap_text
from spane_rllib.experiments.studies.config import StudyConfig
from spane_rllib.experiments.studies.models import StudyPolicies
from spane_rllib.problems.vm_scheduling.waits.comparison import NO_INTERVAL
from spane_rllib.problems.vm_scheduling.waits.statistics import STATISTICS, statistic_text

_MOST = 10_000
"""Characters of a list of policies."""
_WITH_INTERVALS = ("trimmed_mean_10_s", "trimmed_mean_20_s", "mean_s", "mean_log1p")


def write_report(
    directory: Path,
    config: StudyConfig,
    loaded: StudyPolicies,
    tables: Mapping[str, pd.DataFrame],
    resamples: Resamples,
    trace: str,
    figures: Sequence[Path],
) -> Path:
    """Write `report.md` into `directory` and return its path.

    Args:
        directory: folder of the study.
        config: the study.
        loaded: its policies.
        tables: `summary`, `groups`, `comparisons` of `study_tables`; `episodes` unless it was left out.
        resamples: what the intervals are from.
        trace: the trace, one line.
        figures: image files to embed.
    """
    blocks = [
        f"# {config.name}",
        f"spane_rllib {__version__}.",
        *_what_was_played(config, loaded, tables, trace, resamples),
    ]
    for servers, summary in tables["summary"].groupby("servers"):
        blocks.append(f"## {servers} servers")
        groups, comparisons = (
            frame[frame["servers"] == servers] for frame in (tables["groups"], tables["comparisons"])
        )
        blocks += _one_size(summary, groups, comparisons, config.reference)
    blocks += ["## Figures", *(image(figure, directory) for figure in figures)]
    path = directory / "report.md"
    write_text(path, "\n\n".join(blocks) + "\n")
    return path


def _what_was_played(
    config: StudyConfig,
    loaded: StudyPolicies,
    tables: Mapping[str, pd.DataFrame],
    trace: str,
    resamples: Resamples,
) -> Iterator[str]:
    cluster, settings = config.cluster, config.evaluation
    left_out = {
        name: [servers for servers in config.sizes if not policy.accepts(servers)]
        for name, policy in loaded.policies.items()
    }
    by_sizes: dict[str, list[str]] = {}
    for name, sizes in left_out.items():
        if sizes:
            by_sizes.setdefault(", ".join(map(str, sizes)), []).append(name)
    yield "\n".join(
        [
            f"- Trace: {inline(trace)}.",
            f"- {int(resamples.episodes[0]):,} episodes of the {settings.split} split per policy and cluster "
            f"size, the same for all; seed {settings.seed}.",
            f"- Servers of two NUMA nodes of {cluster.node_cpu:g} CPU cores and {cluster.node_memory:g} GiB; "
            f"a VM above {cluster.double_memory_threshold:g} GiB is split over both nodes.",
            *(
                f"- Left out on {sizes} servers, being made for another number: "
                f"{inline(', '.join(names), _MOST)}."
                for sizes, names in by_sizes.items()
            ),
            *(f"- {inline(note)}" for note in loaded.notes),
            *(
                ["- episodes.csv is left out for its size; the folder parts holds all episodes."]
                if "episodes" not in tables
                else []
            ),
        ]
    )
    yield bootstrap_text(resamples)


def _one_size(
    summary: pd.DataFrame, groups: pd.DataFrame, comparisons: pd.DataFrame, reference: str
) -> Iterator[str]:
    if len(comparisons):
        yield _reading(comparisons, reference)
    else:
        yield f"{inline(reference)} does not play this size: nothing to compare with."
    summary = summary.sort_values("trimmed_mean_10_s", kind="stable")
    yield "Policies, best by the 10% trimmed mean first."
    yield table(
        ("policy", "group", "rank", "trim 10%, 95% interval", *STATISTICS.values()),
        [
            (
                row["policy"],
                row["group"],
                "" if pd.isna(row["validation_rank"]) else f"{row['validation_rank']:.0f}",
                _span("trimmed_mean_10_s", row, "trimmed_mean_10_s"),
                *(statistic_text(name, row[name]) for name in STATISTICS),
            )
            for _, row in summary.iterrows()
        ],
        text_columns=2,
    )
    if len(groups):
        yield "Means over the models of a group."
        yield table(
            ("group", "selection", "models", "trim 10%, 95% interval", *STATISTICS.values()),
            [
                (
                    *(
                        row["group"],
                        row["selection"],
                        row["models"],
                        _span("trimmed_mean_10_s", row, "trimmed_mean_10_s"),
                    ),
                    *(statistic_text(name, row[name]) for name in STATISTICS),
                )
                for _, row in groups.iterrows()
            ],
            text_columns=2,
        )
    if len(comparisons):
        yield (
            f"Differences to {inline(reference)} with 95% intervals, below 0 where the policy waits less, "
            "and episodes in which it waits less, as long, and longer."
        )
        yield table(
            ("policy", *(STATISTICS[name] for name in _WITH_INTERVALS), "less / as long / longer"),
            list(_difference_rows(comparisons)),
        )


def _difference_rows(comparisons: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    for policy, rows in comparisons.groupby("b", sort=False):
        by_name = rows.set_index("statistic")
        counts = by_name.iloc[0]
        yield (
            str(policy),
            *(
                f"{statistic_text(name, by_name.loc[name, 'difference'])} "
                f"({_span(name, by_name.loc[name], 'difference')})"
                for name in _WITH_INTERVALS
            ),
            f"{counts['b_wins']:,} / {counts['ties']:,} / {counts['a_wins']:,}",
        )


def _reading(comparisons: pd.DataFrame, reference: str) -> str:
    """Which policies differ from the reference for sure, by each of the statistics."""
    if comparisons["difference_low"].isna().all():
        return NO_INTERVAL
    lines = []
    for name in _WITH_INTERVALS:
        rows = comparisons[comparisons["statistic"] == name]
        less = ", ".join(rows.loc[rows["difference_high"] < 0, "b"]) or "none"
        more = int((rows["difference_low"] > 0).sum())
        lines.append(
            f"- {STATISTICS[name].removesuffix(', s')}: significantly less than {reference} at 95%: {less}; "
            f"significantly more: {more} of {len(rows)}."
        )
    caution = "One in 20 policies equal to the reference is expected to look different by chance."
    return "\n".join([*(inline(line, _MOST) for line in lines), f"\n{caution}"])


def _span(name: str, row: pd.Series, column: str) -> str:
    """The interval of `column`, in the words of the statistic `name`."""
    low, high = (statistic_text(name, row[f"{column}_{end}"]) for end in ("low", "high"))
    return "n/a" if low == "n/a" else f"{low} to {high}"
