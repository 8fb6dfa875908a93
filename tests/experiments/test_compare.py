"""`python -m spane_rllib.compare`, end to end on a small synthetic trace."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from spane_rllib.__main__ import main
from spane_rllib.core.bootstrap import trimmed_mean
from spane_rllib.problems.vm_scheduling.waits.comparison import COMPARISON_COLUMNS
from spane_rllib.problems.vm_scheduling.waits.evaluation import EPISODE_COLUMNS

OPTIONS = ("--trace", "synthetic:vms=12000", "--servers", "2", "--resamples", "200")


def compare(*arguments: object) -> int:
    return main(["compare", *map(str, arguments), *OPTIONS])


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compare") / "new"
    assert compare("sbf", "random", "--episodes", 50, "--servers", 3, "--output", folder) == 0
    return folder


def test_the_tables_agree_with_the_episodes(output: Path) -> None:
    names = {"comparison.csv", "episodes.csv", "report.md"}
    assert {path.name for path in output.iterdir()} == names | {
        f"comparison-{servers}-servers.png" for servers in (2, 3)
    }
    episodes, comparison = (pd.read_csv(output / f"{name}.csv") for name in ("episodes", "comparison"))
    assert tuple(episodes.columns) == EPISODE_COLUMNS
    assert tuple(comparison.columns) == COMPARISON_COLUMNS
    assert len(episodes) == 2 * 2 * 50
    for servers in (2, 3):
        sbf, random = (
            episodes[(episodes["policy"] == policy) & (episodes["servers"] == servers)].reset_index()
            for policy in ("sbf", "random")
        )
        rows = comparison[comparison["servers"] == servers].set_index("statistic")
        row = rows.loc["trimmed_mean_10_s"]
        assert (row["a"], row["b"]) == ("sbf", "random")
        assert row["value_a"] == pytest.approx(trimmed_mean(sbf["total_wait_s"]))
        assert row["difference"] == pytest.approx(trimmed_mean(random["total_wait_s"]) - row["value_a"])
        assert row["difference_low"] <= row["difference"] <= row["difference_high"]
        assert row["a_wins"] == (sbf["total_wait_s"] < random["total_wait_s"]).sum()
        assert row[["a_wins", "ties", "b_wins"]].sum() == 50


def test_the_report_shows_both_sizes_and_their_figures(output: Path) -> None:
    report = (output / "report.md").read_text(encoding="utf-8")
    assert report.startswith("# A: sbf, B: random\n")
    for servers in (2, 3):
        assert f"\n## {servers} servers\n" in report
        assert f"(comparison-{servers}-servers.png)" in report
    assert "200 resamples of the 3 blocks" in report  # rows 7,200 to 11,340 of 12,000


def test_the_same_seed_gives_the_same_numbers(
    output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare("sbf", "random", "--episodes", 50, "--servers", 3, "--output", tmp_path) == 0
    for name in ("comparison.csv", "episodes.csv", "report.md"):
        assert (tmp_path / name).read_bytes() == (output / name).read_bytes()
    printed = capsys.readouterr().out
    assert "A: sbf, B: random, 2 servers, 50 episodes" in printed
    assert "Episode by episode: sbf waits less in" in printed
    assert "sbf is better by" in printed and "significant at 95%" in printed


def test_swapping_a_and_b_turns_the_signs(output: Path, tmp_path: Path) -> None:
    assert compare("random", "sbf", "--episodes", 50, "--servers", 3, "--output", tmp_path) == 0
    one, other = (pd.read_csv(folder / "comparison.csv") for folder in (output, tmp_path))
    assert other["difference"].to_numpy() == pytest.approx(-one["difference"].to_numpy())
    assert other["difference_low"].to_numpy() == pytest.approx(-one["difference_high"].to_numpy())
    assert other["a_wins"].tolist() == one["b_wins"].tolist()


def test_all_episodes_of_a_split(tmp_path: Path) -> None:
    arguments = ("--trace", "synthetic:vms=400", "--servers", "2", "--episodes", "all", "--output", tmp_path)
    assert main(["evaluate", "--policy", "sbf", *map(str, arguments)]) == 0
    assert pd.read_csv(tmp_path / "episodes.csv")["start"].tolist() == list(range(240, 378))
