"""The report of a study."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from spane_rllib.core.bootstrap import Resamples
from spane_rllib.core.files import write_text
from spane_rllib.core.markdown import image, inline, table
from spane_rllib.core.version import __version__
from spane_rllib.experiments.studies.comparison import no_interval
from spane_rllib.experiments.studies.comparison_report import bootstrap_text
from spane_rllib.experiments.studies.config import StudyConfig
from spane_rllib.experiments.studies.models import StudyPolicies
from spane_rllib.problems.measures import Statistic, Statistics
from spane_rllib.problems.problem import Evaluation

_MOST = 10_000
"""Characters of a list of policies."""


def write_report(
    directory: Path,
    config: StudyConfig,
    loaded: StudyPolicies,
    evaluation: Evaluation,
    tables: Mapping[str, pd.DataFrame],
    resamples: Resamples,
    figures: Sequence[Path],
) -> Path:
    """Write `report.md` into `directory` and return its path.

    Args:
        directory: folder of the study.
        config: the study.
        loaded: its policies.
        evaluation: what they played.
        tables: `summary`, `groups`, `comparisons` of `tables`; `episodes` unless it was left out.
        resamples: what the intervals are from.
        figures: image files to embed.
    """
    problem = config.about
    lines = [*_what_was_played(config, loaded, evaluation)]
    if "episodes" not in tables:
        lines.append("episodes.csv is left out for its size; the folder parts holds all episodes.")
    blocks = [
        f"# {config.name}",
        f"spane_rllib {__version__}.",
        "\n".join(f"- {inline(line, _MOST)}" for line in lines),
        bootstrap_text(problem.statistics, resamples),
    ]
    for case, summary in tables["summary"].groupby(problem.case):
        blocks.append(f"## {problem.case_text.format(case)}")
        groups, comparisons = (
            frame[frame[problem.case] == case] for frame in (tables["groups"], tables["comparisons"])
        )
        blocks += _one_case(problem.statistics, summary, groups, comparisons, config.reference)
    blocks += ["## Figures", *(image(figure, directory) for figure in figures)]
    path = directory / "report.md"
    write_text(path, "\n\n".join(blocks) + "\n")
    return path


def _what_was_played(config: StudyConfig, loaded: StudyPolicies, evaluation: Evaluation) -> Iterator[str]:
    problem = config.about
    yield from problem.what_was_run(config, evaluation.task.identity)
    chosen = f"; {evaluation.chosen}" if evaluation.chosen else ""
    yield (
        f"{len(evaluation.pairs):,} episodes per policy and case ({problem.case}: "
        f"{', '.join(map(str, evaluation.cases))}), the same for all{chosen}."
    )
    for case in evaluation.cases:
        refusals: dict[str, list[str]] = {}
        for name, policy in loaded.policies.items():
            if refusal := evaluation.refusal(policy, case):
                refusals.setdefault(refusal, []).append(name)
        for refusal, names in refusals.items():
            yield f"Left out on {problem.case_text.format(case)}: {', '.join(names)} ({refusal})."
    yield from loaded.notes


def _one_case(
    statistics: Statistics,
    summary: pd.DataFrame,
    groups: pd.DataFrame,
    comparisons: pd.DataFrame,
    reference: str,
) -> Iterator[str]:
    if len(comparisons):
        yield _reading(statistics, comparisons, reference)
    else:
        yield f"{inline(reference)} does not play this: nothing to compare with."
    headline = statistics.by_name[statistics.headline]
    summary = summary.sort_values(statistics.headline, ascending=statistics.better == "less", kind="stable")
    header = (f"{headline.name}, 95% interval", *(one.title for one in statistics.by_name.values()))

    def figures(row: pd.Series) -> Iterator[str]:
        yield _span(headline, row, statistics.headline)
        yield from (statistic.show(row[name]) for name, statistic in statistics.by_name.items())

    yield f"Policies, best by {headline.name} first."
    yield table(
        ("policy", "group", "rank", *header),
        [
            (
                row["policy"],
                row["group"],
                "" if pd.isna(row["validation_rank"]) else f"{row['validation_rank']:.0f}",
                *figures(row),
            )
            for _, row in summary.iterrows()
        ],
        text_columns=2,
    )
    if len(groups):
        yield "Means over the models of a group."
        yield table(
            ("group", "selection", "models", *header),
            [(row["group"], row["selection"], row["models"], *figures(row)) for _, row in groups.iterrows()],
            text_columns=2,
        )
    if len(comparisons):
        better, equal, worse = statistics.verbs
        side = "below" if statistics.better == "less" else "above"
        yield (
            f"Differences to {inline(reference)} with 95% intervals, {side} 0 where the policy {better}, "
            f"and episodes in which it {better}, {equal}, and {worse}."
        )
        compared = {name: statistics.by_name[name] for name in statistics.compared}
        yield table(
            (
                "policy",
                *(statistic.title for statistic in compared.values()),
                f"{better.split()[-1]} / {equal} / {worse}",
            ),
            list(_difference_rows(compared, comparisons)),
        )


def _difference_rows(
    compared: Mapping[str, Statistic], comparisons: pd.DataFrame
) -> Iterator[tuple[str, ...]]:
    for policy, rows in comparisons.groupby("b", sort=False):
        by_name = rows.set_index("statistic")
        counts = by_name.iloc[0]
        yield (
            str(policy),
            *(
                f"{statistic.show(by_name.loc[name, 'difference'])} "
                f"({_span(statistic, by_name.loc[name], 'difference')})"
                for name, statistic in compared.items()
            ),
            f"{counts['b_wins']:,} / {counts['ties']:,} / {counts['a_wins']:,}",
        )


def _reading(statistics: Statistics, comparisons: pd.DataFrame, reference: str) -> str:
    """Which policies differ from the reference for sure, by each of the statistics."""
    if comparisons["difference_low"].isna().all():
        return no_interval(statistics)
    lines = []
    for name in statistics.compared:
        rows, statistic = comparisons[comparisons["statistic"] == name], statistics.by_name[name]
        sides = {"less": rows["difference_high"] < 0, "more": rows["difference_low"] > 0}
        better = sides.pop(statistic.better or "less")
        [(other, worse)] = sides.items()
        lines.append(
            f"- {statistic.name}: significantly {statistic.better or 'less'} than {reference} at 95%: "
            f"{', '.join(rows.loc[better, 'b']) or 'none'}; significantly {other}: {worse.sum()} of "
            f"{len(rows)}."
        )
    caution = "One in 20 policies equal to the reference is expected to look different by chance."
    return "\n".join([*(inline(line, _MOST) for line in lines), f"\n{caution}"])


def _span(statistic: Statistic, row: pd.Series, column: str) -> str:
    """The interval of `column`, in the words of the statistic."""
    low, high = (statistic.show(row[f"{column}_{end}"]) for end in ("low", "high"))
    return "n/a" if low == "n/a" else f"{low} to {high}"
