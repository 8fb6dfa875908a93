"""The report says what the tables say, whoever comes out best."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from experiment_tables import HEURISTICS, make_curves, make_episodes, make_trials
from hypothesis import given
from hypothesis import strategies as st

from spane_rllib.core.errors import UserError
from spane_rllib.core.files import write_text
from spane_rllib.core.markdown import table
from spane_rllib.experiments.reports.report import write_report
from spane_rllib.experiments.results.folder import ResultsFolder
from spane_rllib.experiments.results.identity import IdentityRecord
from spane_rllib.experiments.results.tables import write_tables
from spane_rllib.experiments.settings_files import dump_settings
from spane_rllib.experiments.tuning.config import ExperimentConfig, experiment_settings
from spane_rllib.experiments.tuning.loading import load_experiment
from spane_rllib.problems.registry import find_problem
from spane_rllib.problems.vm_scheduling.waits.evaluation import summarize
from spane_rllib.problems.vm_scheduling.waits.reading import read_results

WAIT_EXPERIMENT = experiment_settings(find_problem("vm_scheduling"))

METHODS = {
    "spane": {
        "network": "spane",
        "trials": 4,
        "seeds": 2,
        "training": {"learning_rate": {"loguniform": [1e-3, 1e-1]}},
    },
    "mlp": {"network": "mlp", "options": {"width": {"grid": [32, 64]}}},
}
POLICIES = [*HEURISTICS, "spane-0000", "spane-0001", "mlp-0000"]


def config(**keys: Any) -> ExperimentConfig:
    return WAIT_EXPERIMENT.model_validate({"name": "comparison", "methods": METHODS, **keys})


def report(
    directory: Path,
    trials: pd.DataFrame | None = None,
    episodes: pd.DataFrame | None = None,
    experiment: ExperimentConfig | None = None,
) -> str:
    trials = make_trials({"spane": 8, "mlp": 2}) if trials is None else trials
    episodes = make_episodes(POLICIES) if episodes is None else episodes
    folder = ResultsFolder(directory)
    write_text(folder.config_file, dump_settings(experiment or config()))
    write_tables(directory, {"trials": trials, "curves": make_curves(trials), "episodes": episodes})
    record = IdentityRecord(
        name="trace.csv",
        sha256="0123456789abcdef" * 4,
        size=12,
        description="trace.csv, 12 VMs, content sha256 0123456789ab",
        begun="2026-01-02",
        machine="2 cores",
    )
    write_text(folder.identity_file, record.model_dump_json())
    write_text(directory / "stages.json", json.dumps({"training": 3600.0, "evaluation": 60.4}))
    write_report(folder)
    return (directory / "report.md").read_text(encoding="utf-8")


def section(text: str, title: str) -> str:
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def rows(text: str) -> list[list[str]]:
    return [cells(line) for line in text.splitlines() if line.startswith("|")]


def reading(waits: dict[str, list[float]], best: tuple[str, ...] = ()) -> str:
    episodes = make_episodes(list(waits), count=len(next(iter(waits.values()))))
    episodes["total_wait_s"] = np.concatenate(list(waits.values()))
    method_of = {"spane-0000": "spane", "spane-0001": "spane"}
    return "\n".join(read_results(summarize(episodes), episodes, method_of, best))


def test_it_says_what_was_run_and_on_what(tmp_path: Path) -> None:
    text = report(tmp_path)
    assert text.startswith("# comparison\n\n2026-01-02, spane_rllib ")
    assert ", 2 cores.\n" in text
    run = section(text, "What was run")
    assert "Trace: trace.csv, 12 VMs, content sha256 0123456789ab." in run
    assert "5 servers of two NUMA nodes, each 40 CPU cores and 90 GiB" in run
    spane, mlp = rows(run)[2:]
    assert spane[:-1] == ["spane", "dqn", "spane", "4", "2", "8", "8"]
    assert mlp[:-1] == ["mlp", "dqn", "mlp", "2", "1", "2", "2"]
    best = [float(value.removesuffix(" s").replace(",", "")) for value in spane[-1].split(", ")[:1]]
    assert len(best) == 1 and best[0] > 0


def test_the_command_of_the_report_runs_the_same_experiment_under_another_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    experiment = config(name="n" * 100, output="my results")
    folder = Path("my results") / experiment.name
    text = report(folder, experiment=experiment)
    [command] = [line for line in text.splitlines() if line.startswith("python -m")]
    _, _, module, source, option, override = shlex.split(command)
    assert (module, option) == ("spane_rllib.tune", "--set")
    again = load_experiment(source, [override])
    assert again.name != experiment.name
    assert again.model_copy(update={"name": experiment.name}) == experiment


def test_all_evaluated_trials_are_listed_by_rank_with_what_was_searched(tmp_path: Path) -> None:
    trials = make_trials({"spane": 8, "mlp": 2})
    trials.loc[trials["trial"] == "spane-0000", ["rank", "best_validation_wait_s"]] = [2, 54_321.4]
    trials.loc[trials["trial"] == "spane-0001", ["rank", "training.learning_rate"]] = [1, 0.0123456]
    spane = section(report(tmp_path, trials), "Method spane")
    header, _, first, second, *_ = rows(spane)
    assert header[-1] == "training.learning_rate" and "options.width" not in header
    assert (first[0], first[1], first[-1]) == ("spane-0001", "1", "0.01235")
    assert (second[0], second[1], second[3]) == ("spane-0000", "2", "54,321 s")
    assert "spane-0002" not in spane  # not evaluated
    # a column of widths holds floats, since the other method has none
    assert rows(section(report(tmp_path, trials), "Method mlp"))[2][-1] in ("32", "64")


def test_the_mean_of_the_evaluated_trials_is_that_of_their_figures(tmp_path: Path) -> None:
    episodes = make_episodes(["first-fit", "spane-0000", "spane-0001"], (5, 9), count=4)
    for policy, wait in (("spane-0000", 1000.0), ("spane-0001", 4000.0)):
        episodes.loc[episodes["policy"] == policy, "total_wait_s"] = wait
    episodes["lower_bound_s"] = 500.0
    spane = rows(section(report(tmp_path, episodes=episodes), "Method spane"))
    means = [row[:-2] for row in spane if row[0].startswith("**mean")]  # fairness comes last
    assert means == [
        ["**mean of these 2**", servers, *["2,500"] * 5, "7.602", "0.0%", "0.0%", "5.00", "5.00"]
        for servers in ("5", "9")
    ]


def test_waits_are_ordered_within_each_number_of_servers(tmp_path: Path) -> None:
    episodes = make_episodes(["keep-64", "spane-0000"], (9, 5), count=10)
    episodes["total_wait_s"] = np.repeat([3e6, 2e6, 1000.0, 0.0], 10)
    episodes["lower_bound_s"] = np.repeat([1e6, 0.0], 20)
    waits = rows(section(report(tmp_path, episodes=episodes), "Evaluation"))[2:]
    assert [row[:3] + row[4:5] + row[-6:-3] for row in waits] == [
        ["spane-0000", "spane", "5", "0", "0.0%", "100.0%", "1.00"],
        ["keep-64", "heuristic", "5", "1,000", "0.0%", "0.0%", "n/a"],
        ["spane-0000", "spane", "9", "2,000,000", "100.0%", "0.0%", "2.00"],
        ["keep-64", "heuristic", "9", "3,000,000", "100.0%", "0.0%", "3.00"],
    ]


def test_reading_when_a_heuristic_is_best() -> None:
    text = reading(
        {
            "first-fit": [200.0] * 4,
            "keep-64": [100.0] * 4,
            "spane-0000": [150.0, 150, 100, 50],
            "spane-0001": [300.0] * 4,
        },
        best=("spane-0001",),
    )
    assert "best learned policy is `spane-0000` with a 10% trimmed mean of 112 s" in text
    assert "best heuristic is `keep-64` with a 10% trimmed mean of 100 s" in text
    assert "ratio of the two is 1.12: no learned policy beats this heuristic" in text
    assert "waits less than `keep-64` in 25%, as long in 25% and longer in 50% of 4" in text
    assert "first choice of validation in each method: `spane-0001`" in text and "ratio 3.00" in text
    assert "Worse than First Fit (200 s): 1 of 2 learned policies: `spane-0001`." in text


def test_reading_when_a_learned_policy_is_best() -> None:
    text = reading({"first-fit": [200.0] * 4, "spane-0000": [100.0] * 4})
    assert "ratio of the two is 0.50: the learned policy waits less" in text
    assert "Worse than First Fit (200 s): 0 of 1 learned policies." in text


@pytest.mark.parametrize(
    ("waits", "expected"),
    [
        ({"first-fit": [0.0] * 3, "spane-0000": [0.0] * 3}, "ratio of the two is undefined: they are equal"),
        ({"first-fit": [5.0] * 3}, "No learned policy was evaluated."),
        ({"spane-0000": [5.0] * 3}, "No heuristic was evaluated."),
        ({"best-fit": [5.0] * 3, "spane-0000": [5.0] * 3}, "First Fit was not evaluated."),
    ],
)
def test_reading_of_what_cannot_be_compared(waits: dict[str, list[float]], expected: str) -> None:
    assert expected in reading(waits)


def test_reading_warns_where_the_trim_does_not_cover_the_catastrophes() -> None:
    calm, wild = [1000.0] * 10, [100.0] * 8 + [1e6] * 2
    text = reading({"first-fit": calm, "spane-0000": wild})
    assert "0.0% to 20.0% of them" in text
    assert "exceeds 10% (`spane-0000`), some catastrophes stay" in text
    # (8 * 100 + 1e6 - 100) / 8 s by the 10% trim; only the 20% trim drops both catastrophes
    assert "best policy is `first-fit` by the 10% trim, " in text
    assert "`spane-0000` by the 20% trim, `first-fit` by the plain mean" in text
    assert "exceeds 10%" not in reading({"first-fit": calm, "spane-0000": calm})


def test_unfinished_trials_come_with_their_reason(tmp_path: Path) -> None:
    trials = make_trials({"spane": 8, "mlp": 2})
    assert section(report(tmp_path, trials), "Trials that did not finish").strip() == "None."
    trials["error"] = ""
    trials.loc[6, ["status", "error", "rank"]] = ["ERROR", "a | b <class>\n  c", np.nan]
    trials.loc[7, ["status", "rank"]] = ["PENDING", np.nan]
    text = report(tmp_path, trials)
    unfinished = rows(section(text, "Trials that did not finish"))[2:]
    assert unfinished == [
        ["spane-0006", "ERROR", r"a \| b &lt;class> c"],
        ["spane-0007", "PENDING", "not recorded"],
    ]
    assert rows(section(text, "What was run"))[2][-3:-1] == ["8", "6"]


def test_a_method_without_evaluated_trials_is_named(tmp_path: Path) -> None:
    text = report(tmp_path, episodes=make_episodes(HEURISTICS))
    assert section(text, "Method mlp").strip() == "No trial was evaluated."
    assert "No learned policy was evaluated." in text


def test_stages_and_figures(tmp_path: Path) -> None:
    text = report(tmp_path)
    assert rows(section(text, "Wall time"))[2:] == [
        ["training", "3,600"],
        ["evaluation", "60"],
        ["all", "3,660"],
    ]
    assert "![wait distribution](figures/wait_distribution.png)" in text
    for name in re.findall(r"\((figures/[^)]*)\)", text):
        assert (tmp_path / name).is_file()


def test_it_says_when_and_where_the_experiment_ran_however_often_it_is_written(tmp_path: Path) -> None:
    text = report(tmp_path)
    write_report(ResultsFolder(tmp_path))
    assert (tmp_path / "report.md").read_text(encoding="utf-8") == text
    assert "\n2026-01-02, " in text


@given(st.lists(st.lists(st.text(), min_size=3, max_size=3), max_size=4))
def test_no_text_breaks_a_table(content: list[list[str]]) -> None:
    lines = table(("a", "b", "c"), content).split("\n")
    assert len(lines) == 2 + len(content)
    assert {len(cells(line)) for line in lines} == {3}


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        report(tmp_path / "file")
