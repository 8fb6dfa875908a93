"""The report of an experiment, from the tables in its folder alone: what was run and what came out.

It says when and where the experiment ran, not when it was written.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pandas as pd

from spane_rllib.core.errors import UserError
from spane_rllib.core.files import write_text
from spane_rllib.core.markdown import image, inline, table
from spane_rllib.core.plotting import save
from spane_rllib.core.version import __version__
from spane_rllib.experiments.reports.differences import differences, differences_text
from spane_rllib.experiments.reports.figures import experiment_figures
from spane_rllib.experiments.reports.page import html_page
from spane_rllib.experiments.results.folder import ResultsFolder
from spane_rllib.experiments.results.identity import IdentityRecord, read_identity
from spane_rllib.experiments.results.recordings import COLUMNS as RECORDED
from spane_rllib.experiments.results.tables import read_table, write_tables
from spane_rllib.experiments.tuning.config import ExperimentConfig, MethodSettings
from spane_rllib.experiments.tuning.search_space import Distribution
from spane_rllib.problems.problem import Problem


def is_evaluated(folder: ResultsFolder) -> bool:
    """Whether the evaluation of the experiment is finished."""
    return (folder.path / "episodes.csv").is_file()


def read_episodes(folder: ResultsFolder, problem: Problem) -> pd.DataFrame:
    """`episodes.csv`; a `UserError` when it is missing or damaged."""
    return read_table(folder.path / "episodes.csv", problem.episode_columns)


def check_readable(folder: ResultsFolder, problem: Problem) -> None:
    """Raise a `UserError` if a file that `write_report` reads, its caller's tables apart, is damaged."""
    read_episodes(folder, problem)
    read_identity(folder)
    folder.stages()
    _recorded(folder)


def write_report(folder: ResultsFolder) -> list[Path]:
    """Draw the figures, whose paths are returned, and write `report.md`, the same as `report.html`,
    `summary.csv` and `comparisons.csv`.

    Reads `trials.csv` and `curves.csv`, just written by `trial_tables.write_trial_tables`, and what
    `check_readable` checks.
    """
    config, identity = folder.load_config(), read_identity(folder)
    problem = config.about
    # A column of nothing but gaps would be read as numbers.
    trials = pd.read_csv(folder.path / "trials.csv", dtype={"model": str, "error": str})
    trials = trials.fillna({"model": "", "error": ""})
    curves = pd.read_csv(folder.path / "curves.csv")
    episodes = read_episodes(folder, problem)
    summary = problem.summarize(episodes)
    write_tables(folder.path, {"summary": summary})
    texts: list[str] = []
    figures = [
        save(figure, folder.figures / f"{name}.png")
        for name, figure in experiment_figures(problem.measure, trials, curves, _baselines(folder, problem))
    ]
    for block in problem.report(episodes, summary, trials):
        if isinstance(block, str):
            texts.append(block)
        elif isinstance(block[1], pd.DataFrame):
            write_tables(folder.path, {block[0]: block[1]})
        else:
            figures.append(save(block[1], folder.figures / f"{block[0]}.png"))
    found = differences(problem, episodes, trials)
    if not found.empty:
        write_tables(folder.path, {"comparisons": found})
    stages = folder.stages()
    blocks = [
        f"# {config.name}",
        f"{identity.begun}, spane_rllib {__version__}, {identity.machine}.",
        *_what_was_run(config, trials, identity),
        *texts,
        *_evaluation(problem, trials, summary),
        *differences_text(problem, found),
        *_recordings(folder, problem),
        *chain.from_iterable(
            _method(problem, name, method, trials, summary) for name, method in config.methods.items()
        ),
        *_unfinished(trials),
        "## Wall time",
        table(
            ("stage", "seconds"),
            [(name, _shown(value)) for name, value in (*stages.items(), ("all", sum(stages.values())))],
        ),
        *(["## Figures"] if figures else []),
        *(image(figure, folder.path) for figure in figures),
    ]
    write_text(folder.path / "report.md", "\n\n".join(blocks) + "\n")
    write_text(folder.path / "report.html", html_page(config.name, blocks, folder.path))
    return figures


def _baselines(folder: ResultsFolder, problem: Problem) -> dict[str, float]:
    """What baselines come to on the validation of trials; nothing in folders of earlier versions."""
    file, column = folder.path / "validation_baselines.csv", problem.measure.column
    if not file.is_file():
        return {}
    found = read_table(file, {"policy": str, column: float})
    return dict(zip(found["policy"], found[column], strict=True))


def _what_was_run(config: ExperimentConfig, trials: pd.DataFrame, record: IdentityRecord) -> Iterator[str]:
    evaluation, validation = config.evaluation, config.validation
    sizes = getattr(evaluation, config.about.case, None)
    yield "## What was run"
    lines = [
        *(inline(line) for line in config.about.what_was_run(config, record.identity())),
        f"Seed {config.seed} decides all settings and trials, seed {evaluation.seed} the evaluated episodes.",
        f"Validation on {validation.episodes:,} episodes, every "
        f"{validation.every:,} gradient steps; it chooses the weights of a trial and the best trials.",
        f"Evaluation: the best {evaluation.top_k} trials of each method on {evaluation.episodes} "
        f"{getattr(evaluation, 'split', '')} episodes each".rstrip()
        + (f"; {config.about.case}: {', '.join(map(str, sizes))}." if sizes else "."),
    ]
    yield "\n".join(f"- {line}" for line in lines)
    rows = []
    best = trials[f"best_{config.about.measure.column}"].astype(float)
    better = config.about.measure.better
    for name, method in config.methods.items():
        own = trials["method"] == name
        status = trials.loc[own, "status"]
        values = sorted(best[own].dropna(), reverse=better == "more")
        rows.append(
            (
                *(name, method.algorithm, method.network, len(status) // method.seeds, method.seeds),
                *(len(status), int((status == "TERMINATED").sum())),
                ", ".join(map(config.about.measure.text.format, values[:_MOST_VALUES])),
            )
        )
    header = ("method", "algorithm", "network", "configurations tried", "seeds of each", "trials", "finished")
    yield table((*header, f"{config.about.measure.title}: best of each trial"), rows, text_columns=3)
    source = shlex.quote(f"{config.output}/{config.name}/config.yaml")
    yield f"Run it again, under another name:\n\n```\npython -m spane_rllib.tune {source} " + (
        f"--set name={config.name[:94]}-again\n```"
    )


_MOST_VALUES = 12


def _evaluation(problem: Problem, trials: pd.DataFrame, summary: pd.DataFrame) -> Iterator[str]:
    """Every policy, best first."""
    statistics = problem.statistics
    method_of = dict(zip(trials["trial"], trials["method"], strict=True))
    yield "## Evaluation"
    yield f"Best first. {statistics.note}".rstrip()
    ordered = summary.sort_values(statistics.headline, ascending=statistics.better == "less", kind="stable")
    rows = [
        (
            row["policy"],
            method_of.get(row["policy"], "heuristic"),
            row[problem.case],
            *_statistics(problem, row),
        )
        for _, row in ordered.sort_values(problem.case, kind="stable").iterrows()
    ]
    yield table(("policy", "method", problem.case, *_titles(problem)), rows, text_columns=2)


def _method(
    problem: Problem, name: str, method: MethodSettings, trials: pd.DataFrame, summary: pd.DataFrame
) -> Iterator[str]:
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
        ("trial", "rank", "seed", problem.measure.title, "at gradient step", "time, s", *searched),
        [
            (
                row["trial"],
                f"{row['rank']:.0f}",
                row["seed"],
                _shown(row[f"best_{problem.measure.column}"], problem.measure.text),
                _shown(row["best_gradient_steps"]),
                _shown(row["time_s"]),
                *(_value(row[key]) for key in searched),
            )
            for _, row in own.iterrows()
        ],
    )
    ranks = dict(zip(own["trial"], own["rank"], strict=True))
    rows = []
    for case, group in summary[summary["policy"].isin(ranks)].groupby(problem.case):
        ordered = group.sort_values("policy", key=lambda names: names.map(ranks))
        rows += [(row["policy"], case, *_statistics(problem, row)) for _, row in ordered.iterrows()]
        mean = ordered[list(problem.statistics.by_name)].mean()
        rows.append((f"**mean of these {len(ordered)}**", case, *_statistics(problem, mean)))
    yield "The same trials on the evaluated episodes."
    yield table(("trial", problem.case, *_titles(problem)), rows)


def _titles(problem: Problem) -> list[str]:
    return [statistic.title for statistic in problem.statistics.by_name.values()]


def _statistics(problem: Problem, row: pd.Series) -> tuple[str, ...]:
    return tuple(statistic.show(row[name]) for name, statistic in problem.statistics.by_name.items())


def _recorded(folder: ResultsFolder) -> pd.DataFrame:
    """What there is in `recordings`; empty where nothing was recorded."""
    file = folder.path / "recordings.csv"
    return read_table(file, RECORDED) if file.is_file() else pd.DataFrame(columns=list(RECORDED))


def _recordings(folder: ResultsFolder, problem: Problem) -> Iterator[str]:
    """Links to pages of the viewer."""
    rows = _recorded(folder)
    if rows.empty:
        return
    yield "## Episodes to look at"
    lines = []
    for row in rows.to_dict("records"):
        if not re.fullmatch(r"recordings/\w+\.html", row["page"]):
            raise UserError(f"{folder.path / 'recordings.csv'} is damaged ({row['page'][:80]!r} is no page)")
        beside = "" if row["beside"] == "-" else f" beside {inline(row['beside'])}"
        lines.append(
            f"- [The {inline(row['episode'])} episode]({row['page']}) of {inline(row['policy'])}{beside}: "
            f"{inline(problem.pair)} {inline(row['pair'])}, {problem.case} {inline(row['case'])}, "
            f"{problem.statistics.value_title or problem.statistics.value} {row['value']:,.6g}"
        )
    yield "\n".join(lines)


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


def _shown(value: float, text: str = "{:,.0f}") -> str:
    return "n/a" if pd.isna(value) else text.format(value)


def _value(value: object) -> str:
    if pd.isna(value):
        return "none"
    # A column of whole numbers turns to floats where another method has no value.
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() else f"{value:.4g}"
    return str(value)
