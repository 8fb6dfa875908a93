"""`python -m spane_rllib.compare`, end to end on a small synthetic trace."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from spane_rllib.__main__ import main
from spane_rllib.core.bootstrap import trimmed_mean
from spane_rllib.experiments.studies.comparison import comparison_columns
from spane_rllib.problems.vm_scheduling.allocations.problem import ALLOCATIONS
from spane_rllib.problems.vm_scheduling.waits.problem import WAITS

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
        f"comparison-{servers}-servers.{form}" for servers in (2, 3) for form in ("png", "pdf")
    }
    episodes, comparison = (pd.read_csv(output / f"{name}.csv") for name in ("episodes", "comparison"))
    assert list(episodes.columns) == list(WAITS.episode_columns)
    assert list(comparison.columns) == comparison_columns(WAITS)
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


def test_the_report_says_what_was_played_and_what_the_words_mean(output: Path) -> None:
    report = (output / "report.md").read_text(encoding="utf-8")
    assert "starts from the test split; seed 0." in report
    assert "an episode with a total wait of more than 300,000 s" in report


def test_allocations_are_compared_and_more_is_better(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--scenario", "fading", "--episodes", 40, "--output", tmp_path)
    assert compare("random", "sbf", *options) == 0
    episodes, comparison = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("episodes", "comparison"))
    assert list(comparison.columns) == comparison_columns(ALLOCATIONS)
    placed = episodes.pivot_table(index="start", columns="policy", values="allocations")
    row = comparison.set_index("statistic").loc["allocations_mean"]
    assert (row["servers"], row["a"], row["b"]) == (2, "random", "sbf")
    assert row["difference"] == pytest.approx((placed["sbf"] - placed["random"]).mean())
    assert row["difference"] > 0 and row["a_better_share"] < 0.5
    assert row["a_wins"] == (placed["random"] > placed["sbf"]).sum()
    assert row["b_wins"] == (placed["random"] < placed["sbf"]).sum()
    printed = capsys.readouterr().out
    assert "Episode by episode: random places more in" in printed
    assert "sbf is better by VMs" in printed
    assert (tmp_path / "comparison-2-servers.png").read_bytes().startswith(b"\x89PNG")


def test_a_policy_of_ones_own_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own_policies.py").write_text(
        "class LastFit:\n"
        "    def act(self, observation):\n"
        "        return int(observation['action_mask'].nonzero()[0][-1])\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    options = ("--episodes", 4, "--output", tmp_path / "out")
    assert compare("first-fit", "own_policies:LastFit", *options) == 0
    assert "B: own_policies:LastFit" in capsys.readouterr().out
    episodes = pd.read_csv(tmp_path / "out" / "episodes.csv")
    assert episodes["policy"].value_counts().to_dict() == {"first-fit": 4, "own_policies:LastFit": 4}


def test_equal_policies_under_two_names_tie(tmp_path: Path) -> None:
    from spane_rllib.problems.vm_scheduling.pretrained import model_folder, pretrained_names

    shipped = pretrained_names()[0]
    assert compare(shipped, model_folder(shipped), "--episodes", 4, "--output", tmp_path) == 0
    comparison = pd.read_csv(tmp_path / "comparison.csv")
    assert (comparison["ties"] == 4).all() and (comparison["difference"].fillna(0) == 0).all()


def test_all_episodes_of_a_split(tmp_path: Path) -> None:
    arguments = ("--trace", "synthetic:vms=400", "--servers", "2", "--episodes", "all", "--output", tmp_path)
    assert main(["evaluate", "--policy", "sbf", *map(str, arguments)]) == 0
    assert pd.read_csv(tmp_path / "episodes.csv")["start"].tolist() == list(range(240, 378))
