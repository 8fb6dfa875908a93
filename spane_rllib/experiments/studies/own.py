"""Runs a study of a problem's own: a row for each of its cells, with intervals, one figure and a report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spane_rllib.core.bootstrap import Numbers, Resamples, interval
from spane_rllib.core.errors import UserError
from spane_rllib.core.files import check_writable, write_text
from spane_rllib.core.lock import locked
from spane_rllib.core.markdown import image, inline, table
from spane_rllib.core.reading import read_bytes
from spane_rllib.core.version import __version__
from spane_rllib.experiments.results.folder import MAX_JSON, ResultsFolder
from spane_rllib.experiments.results.parts import PartStore, joined, parts_of, play_parts
from spane_rllib.experiments.results.tables import write_tables
from spane_rllib.experiments.studies.comparison_report import bootstrap_text
from spane_rllib.problems.problem import Problem
from spane_rllib.problems.studies import Cell, OwnStudy, OwnStudySettings

if TYPE_CHECKING:
    import pandas as pd


def run_own_study(
    problem: Problem, study: OwnStudy, config: OwnStudySettings, folder: ResultsFolder, resume: bool
) -> None:
    """Run (or, with `resume`, continue) the study in `folder` to its report.

    Every cell is kept as soon as it is played, and found again by all that decides it.

    Raises:
        UserError: bad input; nothing has been written then.
    """
    cells = study.cells(problem, config)
    with locked(folder.path):
        if resume:
            check_writable(folder.path)
        else:
            folder.create(config)
        print(f"study {config.name} in {folder.path}: {len(cells)} rows; {cells[0].evaluation.description}")
        played = [_played(folder.parts, cell) for cell in cells]
        pairs = np.sort(cells[0].evaluation.pairs)
        resamples = Resamples.draw(pairs, config.resamples, config.seed, problem.statistics.block_rows)
        rows = _rows(problem, study, cells, played, resamples)
        write_tables(folder.path, {config.study: rows, "episodes": _joined(study, cells, played)})
        figure = _figure(problem, study, rows, folder.figures / f"{config.study}.png")
        _write_report(folder.path, problem, study, config, cells, rows, resamples, figure)


def _played(parts: Path, cell: Cell) -> tuple[pd.DataFrame, float]:
    """The episodes of a cell, and milliseconds per decision where they have been counted."""
    store = PartStore(parts, cell.evaluation)
    [part] = parts_of(cell.evaluation, [cell.policy], strict=True)
    play_parts(cell.evaluation, [part], store=store, label=f"{cell.group}, {cell.label}, {cell.shown}")
    cost, decisions = parts / f"{part.key}.json", getattr(cell.policy, "decisions", 0)
    if decisions:
        write_text(cost, json.dumps({"ms_per_decision": 1e3 * cell.policy.seconds / decisions}))
    episodes = joined([part], store.read).assign(policy=cell.shown)
    if cell.derived is not None:
        return cell.derived(episodes), float("nan")
    return episodes, _cost(cost)


def _cost(file: Path) -> float:
    if not file.is_file():
        return float("nan")
    try:
        return float(json.loads(read_bytes(file, MAX_JSON, str(file)))["ms_per_decision"])
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{file} is damaged ({error!r}); delete it") from error


def _rows(
    problem: Problem,
    study: OwnStudy,
    cells: Sequence[Cell],
    played: Sequence[tuple[pd.DataFrame, float]],
    resamples: Resamples,
) -> pd.DataFrame:
    """One row per cell: every statistic and its difference to that of the group's first, with intervals."""
    import pandas as pd

    rows, first = [], dict[str, dict[str, Numbers]]()
    for cell, (episodes, cost) in zip(cells, played, strict=True):
        ordered = episodes.sort_values(problem.pair, kind="stable")
        values = problem.estimate(ordered, resamples)
        reference = first.setdefault(cell.group, values)
        group, label = study.columns
        row: dict[str, Any] = {group: cell.group, label: cell.label, "policy": cell.shown}
        row |= {problem.case: cell.evaluation.cases[0], "episodes": len(ordered)}
        for name in problem.statistics.by_name:
            with np.errstate(invalid="ignore"):
                difference = values[name] - reference[name]
            for key, numbers in ((name, values[name]), (f"{name}_difference", difference)):
                row[key] = numbers[0]
                row[f"{key}_low"], row[f"{key}_high"] = interval(numbers)
        rows.append(row | {"ms_per_decision": cost})
    return pd.DataFrame(rows)


def _joined(
    study: OwnStudy, cells: Sequence[Cell], played: Sequence[tuple[pd.DataFrame, float]]
) -> pd.DataFrame:
    import pandas as pd

    group, label = study.columns
    return pd.concat(
        [
            episodes.assign(**{group: cell.group, label: cell.label})
            for cell, (episodes, _) in zip(cells, played, strict=True)
        ],
        ignore_index=True,
    )


def _figure(problem: Problem, study: OwnStudy, rows: pd.DataFrame, file: Path) -> Path:
    """The headline of every row with its interval, a panel for each group."""
    from spane_rllib.core.plotting import PALETTE, panels, save

    statistics, (group, label) = problem.statistics, study.columns
    headline = statistics.headline
    groups = list(rows.groupby(group, sort=False))
    figure, axes = panels(len(groups), 2, 5.2, 0.32 * max(len(part) for _, part in groups) + 1.2)
    for axis, (name, part) in zip(axes, groups, strict=True):
        places = range(len(part))
        axis.barh(places, part[headline], color=PALETTE[0], alpha=0.75, height=0.7)
        axis.hlines(places, part[f"{headline}_low"], part[f"{headline}_high"], color="black", linewidth=1)
        axis.axvline(part[headline].iloc[0], color="0.3", linestyle=":", linewidth=1)
        axis.set_yticks(places, [f"{a}: {b}" for a, b in zip(part[label], part["policy"], strict=True)])
        axis.invert_yaxis()
        axis.set_title(str(name))
        axis.xaxis.set_major_formatter("{x:,g}")
        axis.locator_params(axis="x", nbins=5)
        axis.set_xlabel(f"{statistics.value_title or statistics.value}: {statistics.by_name[headline].name}")
    return save(figure, file)


def _write_report(
    directory: Path,
    problem: Problem,
    study: OwnStudy,
    config: OwnStudySettings,
    cells: Sequence[Cell],
    rows: pd.DataFrame,
    resamples: Resamples,
    figure: Path,
) -> None:
    statistics, (group, label) = problem.statistics, study.columns
    shown = {name: statistics.by_name[name] for name in study.statistics}
    headline = statistics.by_name[statistics.headline]
    lines = [cells[0].evaluation.task.identity.description, cells[0].evaluation.chosen]
    blocks = [
        f"# {config.name}",
        f"spane_rllib {__version__}.",
        "\n".join(f"- {inline(line, 1000)}" for line in [*lines, *study.explained(config)] if line),
        bootstrap_text(statistics, resamples),
    ]
    for name, part in rows.groupby(group, sort=False):
        header = (label, "policy", *(s.title for s in shown.values()), "difference (95%)", "ms / decision")
        table_rows = []
        for _, row in part.iterrows():
            key = f"{statistics.headline}_difference"
            low, high = headline.show(row[f"{key}_low"]), headline.show(row[f"{key}_high"])
            span = "" if low == "n/a" else f" ({low} to {high})"
            cost = row["ms_per_decision"]
            table_rows.append(
                (
                    *(row[label], row["policy"]),
                    *(statistic.show(row[key]) for key, statistic in shown.items()),
                    f"{headline.show(row[key])}{span}",
                    "" if np.isnan(cost) else f"{cost:.2f}",
                )
            )
        blocks += [f"## {group}: {inline(name)}", table(header, table_rows, text_columns=2)]
    blocks += [
        f"The difference is that of {headline.name} to the first row.",
        image(figure, directory),
    ]
    write_text(directory / "report.md", "\n\n".join(blocks) + "\n")
