"""`python -m spane_rllib.study`, end to end on a small synthetic trace, and its tables by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from spane_rllib.__main__ import main
from spane_rllib.core.bootstrap import trimmed_mean
from spane_rllib.experiments.results import parts
from spane_rllib.experiments.studies import job as study_job
from spane_rllib.experiments.studies.comparison import Estimate
from spane_rllib.experiments.studies.models import Group
from spane_rllib.experiments.studies.tables import group_table, selections
from spane_rllib.problems.vm_scheduling.networks.registry import build_network
from spane_rllib.problems.vm_scheduling.networks.weights import (
    ModelMetadata,
    Normalisation,
    TraceIdentity,
    save_model,
)
from spane_rllib.problems.vm_scheduling.waits.problem import WAITS

STATISTICS = WAITS.statistics.by_name

CONFIG = """
name: tiny
trace: {source: "synthetic:vms=12000"}
cluster: {servers: 2}
groups: {SPANE: trained, MLP: [mlp]}
policies: [trained/models/spane/spane-0002, worst-fit]
evaluation: {episodes: 30, servers: [2, 3], heuristics: [sbf, keep-64]}
top: [2, 6]
bootstrap: {resamples: 100, block_rows: 500}
"""
# Trials by validation; the last one has failed.
RANKS = {"spane-0000": 2.0, "spane-0001": 3.0, "spane-0002": 1.0, "spane-0003": None}


def save(folder: Path, kind: str, seed: int) -> None:
    metadata = ModelMetadata(
        servers=2,
        normalisation=Normalisation(node_cpu=40, node_memory=90, double_memory_threshold=10),
        trace=TraceIdentity(name="t", sha256="0" * 64),
        seed=seed,
    )
    save_model(folder, build_network(kind, {}, 2, seed=seed), metadata)


def make_place(place: Path) -> None:
    (place / "tiny.yaml").write_text(CONFIG)
    save(place / "mlp", "mlp", 0)
    for seed, (trial, rank) in enumerate(RANKS.items()):
        if rank is not None:
            save(place / "trained" / "models" / "spane" / trial, "spane", seed)
    rows = [("spane", trial, rank) for trial, rank in RANKS.items()]
    pd.DataFrame(rows, columns=["method", "trial", "rank"]).to_csv(place / "trained/trials.csv", index=False)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working directory of a finished study."""
    folder = tmp_path_factory.mktemp("study")
    make_place(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["study", "tiny.yaml"]) == 0
    return folder


@pytest.fixture
def results(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(place)
    return Path("results/tiny")


def tables(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.csv"))}


def test_every_policy_plays_every_size_it_accepts(results: Path) -> None:
    episodes, summary = (pd.read_csv(results / f"{name}.csv") for name in ("episodes", "summary"))
    assert list(episodes.columns) == list(WAITS.episode_columns)
    names = ["SPANE/spane-0002", "SPANE/spane-0000", "SPANE/spane-0001", "mlp"]
    names += ["trained/models/spane/spane-0002", "worst-fit", "sbf", "keep-64"]
    assert summary.loc[summary["servers"] == 2, "policy"].tolist() == names
    assert summary.loc[summary["servers"] == 3, "policy"].tolist() == [n for n in names if n != "mlp"]
    assert len(episodes) == 30 * len(summary)
    two = summary[summary["servers"] == 2].set_index("policy")
    assert two.loc[names[:3], "validation_rank"].tolist() == [1, 2, 3]
    assert two["group"].fillna("").tolist() == [*["SPANE"] * 3, "MLP", "", *["heuristic"] * 3]
    for row in summary.itertuples():
        waits = episodes.loc[
            (episodes["policy"] == row.policy) & (episodes["servers"] == row.servers), "total_wait_s"
        ]
        assert row.trimmed_mean_10_s == pytest.approx(trimmed_mean(waits))
        assert row.mean_s == pytest.approx(waits.mean())
        assert row.mean_s_low <= row.mean_s <= row.mean_s_high
    # The same weights by another name: the same figures, from the same part.
    pd.testing.assert_series_equal(
        two.loc[names[0], "mean_s":], two.loc[names[4], "mean_s":], check_names=False
    )
    assert len(list((results / "parts").iterdir())) == len(summary) - 2


def test_groups_are_means_of_the_summary(results: Path) -> None:
    groups, summary = (pd.read_csv(results / f"{name}.csv") for name in ("groups", "summary"))
    assert list(
        zip(groups["group"], groups["selection"], groups["servers"], groups["models"], strict=True)
    ) == [
        ("SPANE", "best 2 by validation", 2, 2),
        ("SPANE", "all", 2, 3),
        ("MLP", "all", 2, 1),
        ("SPANE", "best 2 by validation", 3, 2),
        ("SPANE", "all", 3, 3),
    ]
    two = summary[summary["servers"] == 2].set_index("policy")
    for name in STATISTICS:
        assert groups[name][0] == pytest.approx(
            two.loc[["SPANE/spane-0002", "SPANE/spane-0000"], name].mean()
        )


def test_all_others_are_compared_with_the_reference(results: Path) -> None:
    comparisons, summary = (pd.read_csv(results / f"{name}.csv") for name in ("comparisons", "summary"))
    assert set(comparisons["a"]) == {"keep-64"}
    assert len(comparisons) == (len(summary) - 2) * len(STATISTICS)
    means = summary.set_index(["servers", "policy"])["mean_s"]
    for row in comparisons[comparisons["statistic"] == "mean_s"].itertuples():
        assert row.difference == pytest.approx(means[row.servers, row.b] - means[row.servers, "keep-64"])
        assert row.a_wins + row.ties + row.b_wins == 30


def test_the_report_tells_what_was_left_out(results: Path) -> None:
    report = (results / "report.md").read_text(encoding="utf-8")
    assert "Left out on 3 servers: mlp (was made for another number of servers than 3)." in report
    assert "SPANE: 1 of 4 trials have no weights." in report
    assert "episodes.csv is left out" not in report
    for figure in ("trimmed_means", "differences", "over_servers"):
        assert f"(figures/{figure}.png)" in report
        assert (results / "figures" / f"{figure}.png").read_bytes().startswith(b"\x89PNG")


def test_resuming_an_interrupted_study_evaluates_only_what_is_missing(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = tables(results)
    monkeypatch.chdir(tmp_path)
    make_place(tmp_path)
    evaluated: list[tuple[str, int]] = []
    play = parts._play

    def interrupted(*arguments: Any) -> Iterator[Any]:
        for part, frame in play(*arguments):
            if len(evaluated) == 5:
                raise KeyboardInterrupt
            evaluated.append((part.policy.name, part.case))
            yield part, frame

    monkeypatch.setattr(parts, "_play", interrupted)
    assert main(["study", "tiny.yaml"]) == 130
    assert "python -m spane_rllib.study --resume results/tiny" in capsys.readouterr().err
    folder = tmp_path / "results" / "tiny"
    assert sorted(path.name for path in folder.iterdir()) == ["config.yaml", "parts"]
    kept = {path: path.stat().st_mtime_ns for path in (folder / "parts").iterdir()}
    assert len(kept) == 5
    first = list(evaluated)
    evaluated[:] = [("", 0)] * 6  # never 5 again
    assert main(["study", "--resume", "results/tiny"]) == 0
    assert len(evaluated[6:]) == 13 - 5 and not set(first) & set(evaluated)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert tables(folder) == expected


def test_a_large_study_leaves_the_episodes_in_parts(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_job, "MOST_ROWS", 59)
    line = f"study tiny.yaml --set output={tmp_path} --set groups={{}} --set policies=[] --set workers=0"
    assert main([*line.split(), "--set", "evaluation.servers=[2]"]) == 0
    assert {path.name for path in (tmp_path / "tiny").iterdir()} == {
        *("comparisons.csv", "config.yaml", "figures", "groups.csv", "parts", "report.md", "summary.csv")
    }
    assert "episodes.csv is left out" in (tmp_path / "tiny" / "report.md").read_text(encoding="utf-8")


def test_selections_of_a_group() -> None:
    names = tuple("abcdefghijklm")

    def labels(count: int, ranked: bool, top: tuple[int, ...] = (3, 11)) -> list[tuple[str, int, int]]:
        chosen = selections(Group("g", names[:count], ranked), top)
        return [(label, len(models), dropped) for label, models, dropped in chosen]

    eleven = ("11-model trimmed (drop 2+2)", 11, 2)
    assert labels(13, True) == [
        ("best 3 by validation", 3, 0),
        ("best 11 by validation", 11, 0),
        eleven,
        ("all", 13, 0),
    ]
    assert labels(11, False) == [eleven, ("all", 11, 0)]
    assert labels(13, False) == [("all", 13, 0)]
    assert labels(4, True, (3, 4)) == [
        ("best 3 by validation", 3, 0),
        ("best 4 by validation", 4, 0),
        ("all", 4, 0),
    ]


def test_the_trimmed_mean_over_models_drops_the_extremes_of_each_statistic() -> None:
    def estimate(name: str, value: float) -> Estimate:
        statistics = {key: np.array([value, 10 * value, -value]) for key in STATISTICS}
        return Estimate(name, 5, np.zeros(1), np.zeros(1), statistics)

    values = {"a": 1.0, "b": 100.0, "c": 2.0, "d": 3.0, "e": 7.0, "f": 50.0}
    group = Group("g", tuple(values), ranked=True)
    table = group_table(WAITS, [estimate(*item) for item in values.items()], [group], (6,)).set_index(
        "selection"
    )
    row = table.loc["6-model trimmed (drop 2+2)"]
    assert (row["models"], row["mean_s"]) == (2, 5.0)  # (3 + 7) / 2
    low, high = np.quantile([50.0, -5.0], [0.025, 0.975])
    assert (row["mean_s_low"], row["mean_s_high"]) == pytest.approx((low, high))
    assert table.loc["all", "mean_s"] == pytest.approx(163 / 6)


def test_a_single_block_gives_figures_and_a_report_without_intervals(results: Path, tmp_path: Path) -> None:
    settings = (f"output={tmp_path}", "bootstrap.block_rows=20000", "evaluation.servers=[2]", "groups={}")
    assert main(["study", "tiny.yaml", *(word for text in settings for word in ("--set", text))]) == 0
    summary, known = (pd.read_csv(folder / "summary.csv") for folder in (tmp_path / "tiny", results))
    assert summary[["mean_s_low", "mean_s_high"]].isna().all(axis=None)
    of_sbf = [frame[(frame["policy"] == "sbf") & (frame["servers"] == 2)] for frame in (summary, known)]
    assert of_sbf[0]["mean_s"].item() == of_sbf[1]["mean_s"].item()
    report = (tmp_path / "tiny" / "report.md").read_text(encoding="utf-8")
    assert "No interval: the episodes lie in one block" in report and "significant" not in report


def test_a_study_of_allocations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fading.yaml").write_text(
        "name: few\nscenario: fading\ntrace: {source: 'synthetic:vms=6000'}\n"
        "evaluation: {episodes: 30, servers: [2, 3], heuristics: [sbf, fgd, random]}\n"
        "bootstrap: {resamples: 100, block_rows: 200}\n"
    )
    assert main(["study", "fading.yaml"]) == 0
    folder = tmp_path / "results" / "few"
    assert "problem: vm_allocations" in (folder / "config.yaml").read_text(encoding="utf-8")
    episodes, summary, comparisons = (
        pd.read_csv(folder / f"{name}.csv") for name in ("episodes", "summary", "comparisons")
    )
    means = episodes.groupby(["servers", "policy"])["allocations"].mean()
    for row in summary.itertuples():
        assert row.allocations_mean == pytest.approx(means[row.servers, row.policy])
        assert row.allocations_mean_low <= row.allocations_mean <= row.allocations_mean_high
    assert set(comparisons["a"]) == {"fgd"}  # the problem's own reference
    report = (folder / "report.md").read_text(encoding="utf-8")
    assert "Scenario: fading." in report
    assert "VMs: significantly more than fgd at 95%:" in report
    assert "above 0 where the policy places more" in report
    assert "(figures/allocations.png)" in report
    first = report[report.index("Policies, best by VMs first.") :].splitlines()[4]
    assert first.split("|")[1].strip() == means[2].idxmax()
    before = tables(folder)
    assert main(["study", "--resume", "results/few"]) == 0
    assert tables(folder) == before
