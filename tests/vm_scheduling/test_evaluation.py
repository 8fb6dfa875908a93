"""Episode and summary tables: every number by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from spane_rllib.core.errors import UserError
from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.experiments.results.tables import read_table, write_tables
from spane_rllib.problems.vm_scheduling.policies import load_policy
from spane_rllib.problems.vm_scheduling.simulator import Cluster, Workload, lower_bounds, probe_vm_counts
from spane_rllib.problems.vm_scheduling.simulator.episodes import EpisodeResults
from spane_rllib.problems.vm_scheduling.waits.evaluation import (
    SUMMARY_COLUMNS,
    evaluate_policy,
    summarize,
    summary_table,
)
from spane_rllib.problems.vm_scheduling.waits.problem import WAITS

EPISODE_COLUMNS = tuple(WAITS.episode_columns)


def test_an_episode_by_hand(tiny_trace: VmTrace) -> None:
    """VM 2 fits no node before VM 1 leaves at 20 s: 19 s after its arrival; VM 3 follows, after 18."""
    cluster = Cluster(1, 4, 8)
    frame = evaluate_policy(
        load_policy("first-fit"), Workload(tiny_trace, cluster), cluster, np.array([0, 3])
    )
    assert tuple(frame.columns) == EPISODE_COLUMNS
    first = frame.iloc[0]
    assert (first["policy"], first["servers"], first["start"], first["vm_count"]) == ("first-fit", 1, 0, 42)
    waits = np.array([0, 0, 19, 18])
    assert (first["total_wait_s"], first["max_wait_s"]) == (37, 19)
    assert first["mean_wait_s"] == 37 / 4
    assert first["return"] == pytest.approx(-np.log1p(waits).sum())
    assert frame["total_wait_s"].tolist() == [37, 0]
    # VM 1 takes half of the server's cores and three quarters of its memory, VM 2 3/8 of the cores.
    assert first[["vms_small", "vms_medium", "vms_large", "vms_giant"]].tolist() == [0, 2, 1, 1]
    assert first[["wait_medium_s", "wait_large_s", "wait_giant_s"]].tolist() == [18, 19, 0]
    assert first[["overtaken", "passes", "most_passes"]].tolist() == [0, 0, 0]


def test_episodes_match_the_policy_and_the_bound(trace: VmTrace) -> None:
    cluster, starts = Cluster(2), np.array([7, 0, 200, 7])
    workload = Workload(trace, cluster)
    frame = evaluate_policy(load_policy("random"), workload, cluster, starts, seed=3)
    counts = probe_vm_counts(workload, cluster, starts)
    results = EpisodeResults.of_state(*load_policy("random").play(workload, cluster, starts, counts, 3))
    bounds = lower_bounds(workload, cluster, starts, counts)
    np.testing.assert_array_equal(frame["start"], starts)
    np.testing.assert_array_equal(frame["vm_count"], counts)
    np.testing.assert_array_equal(frame["total_wait_s"], results.total_wait)
    np.testing.assert_array_equal(frame["mean_wait_s"], results.total_wait / results.placed)
    np.testing.assert_array_equal(frame["lower_bound_s"], bounds)
    assert (frame["lower_bound_s"] <= frame["total_wait_s"]).all()
    given = evaluate_policy(load_policy("random"), workload, cluster, starts, seed=3, bounds=bounds)
    pd.testing.assert_frame_equal(given, frame)


def episodes_of(waits: list[float], policy: str = "p", servers: int = 5) -> pd.DataFrame:
    frame = pd.DataFrame(0.0, index=range(len(waits)), columns=list(EPISODE_COLUMNS))
    return frame.assign(policy=policy, servers=servers, total_wait_s=waits, lower_bound_s=np.array(waits) / 2)


def test_summary_by_hand() -> None:
    # A catastrophe is more than 300,000 s.
    waits = [0.0] * 4 + [10.0] * 6 + [20.0] * 6 + [300_000.0, 300_001.0, 400_000.0, 900_000.0]
    summary = summarize(
        pd.concat([episodes_of([8.0], "one", 9), episodes_of(waits), episodes_of([4.0], "one", 5)])
    )
    assert tuple(summary.columns) == SUMMARY_COLUMNS
    assert list(zip(summary["policy"], summary["servers"], strict=True)) == [("one", 9), ("p", 5), ("one", 5)]
    row = summary.iloc[1]
    assert row["episodes"] == 20
    assert row["trimmed_mean_05_s"] == pytest.approx((180 + 300_000 + 300_001 + 400_000) / 18)
    assert row["trimmed_mean_10_s"] == pytest.approx((180 + 300_000 + 300_001) / 16)
    assert row["trimmed_mean_20_s"] == pytest.approx(180 / 12)
    assert row["mean_s"] == pytest.approx((180 + 1_900_001) / 20)
    assert row["median_s"] == 15  # between the tenth and the eleventh
    assert row["catastrophe_rate"] == 3 / 20
    assert row["zero_wait_rate"] == 4 / 20
    assert row["lower_bound_trimmed_mean_10_s"] == pytest.approx((180 + 300_000 + 300_001) / 32)


def test_the_table_shows_the_best_first() -> None:
    summary = summarize(
        pd.concat([episodes_of([9.0], "worse"), episodes_of([1.0], "better"), episodes_of([5.0], "small", 2)])
    )
    lines = summary_table(summary).splitlines()
    order = ["small", "better", "worse"]
    assert [line.split()[0] for line in lines[2:5]] == order  # waits
    assert [line.split()[0] for line in lines[-3:]] == order  # who waits


def test_tables_round_trip(trace: VmTrace, tmp_path: Path) -> None:
    cluster = Cluster(2)
    episodes = evaluate_policy(load_policy("sbf"), Workload(trace, cluster), cluster, np.arange(0, 300, 9))
    summary = summarize(episodes)
    write_tables(tmp_path / "new", {"episodes": episodes, "summary": summary})
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "new" / "episodes.csv"), episodes, rtol=0, atol=0)
    read = read_table(tmp_path / "new" / "episodes.csv", WAITS.episode_columns)
    pd.testing.assert_frame_equal(read, episodes, rtol=0, atol=0)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["episodes.csv", "summary.csv"]
    (tmp_path / "taken").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        write_tables(tmp_path / "taken", {"episodes": episodes})
