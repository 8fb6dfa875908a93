"""The commands as a user gives them."""

from pathlib import Path

import pandas as pd
import pytest

from spane_rllib.compare import main as compare
from spane_rllib.core.errors import UserError
from spane_rllib.evaluate import main as evaluate

SUMMARY = (
    "policy,workload,completed,running,queued,avg_jct_s,p50_jct_s,p95_jct_s,p99_jct_s,makespan_s,utilization,"
    "avg_slowdown,max_slowdown,bounded_slowdown,weighted_jct_s,jain_fairness,completion_rate,lower_bound_jct_s"
)
WORK = ["--problem", "gpu_jobs", "--jobs", "synthetic:jobs=200,load=1.1"]


def test_evaluate_writes_summary_and_jobs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policies = ["--policy", "fcfs", "--policy", "sjf"]
    horizon = ["--horizon", "30000"]
    assert evaluate([*WORK, *policies, *horizon, "--output", str(tmp_path)]) == 0
    summary = pd.read_csv(tmp_path / "summary.csv")
    assert ",".join(summary.columns) == SUMMARY
    jobs = pd.read_csv(tmp_path / "jobs.csv")
    assert len(jobs) == 2 * 200
    arrived = jobs[(jobs["policy"] == "sjf") & (jobs["arrival"] <= 30_000)]
    row = summary[summary["policy"] == "sjf"].iloc[0]
    assert row["completed"] == arrived["finish"].notna().sum()
    assert row[["completed", "running", "queued"]].sum() == len(arrived)
    # Jobs that have not ended count with the time since they arrived.
    jct = (arrived["finish"].fillna(30_000) - arrived["arrival"]).mean()
    assert row["avg_jct_s"] == pytest.approx(jct)
    assert row["lower_bound_jct_s"] <= jct
    evaluate([*WORK, *policies, *horizon, "--output", str(tmp_path), "--parquet"])
    assert len(pd.read_parquet(tmp_path / "jobs.parquet")) == 400


def test_compare_goes_by_blocks_of_arrivals(capsys: pytest.CaptureFixture[str]) -> None:
    assert compare([*WORK, "--episodes", "20", "fcfs", "sjf"]) == 0
    shown = capsys.readouterr().out
    assert "20 episodes" in shown and "95% interval" in shown


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--rules", "theirs", "--policy", "sjf"], "rules: "),
        (["--policy", "easy", "--rules", "published"], "plays under the corrected rules only"),
        (["--policy", "sixth"], "plays under the published rules only"),
        (["--policy", "sfj"], "policy 'sfj': neither a baseline"),
        (["--policy", "sjf", "--horizon", "-1"], "horizon"),
        (["--policy", "sjf", "--measured", "[1, 0]"], "measured: must be a range"),
        (["--policy", "sjf", "--cluster", "{types: []}"], "cluster.types"),
        (["--policy", "sjf", "--reading", "{form: swf}"], "reading.form"),
    ],
)
def test_complaints(words: list[str], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        evaluate([*WORK, *words])
