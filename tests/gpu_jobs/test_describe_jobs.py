"""The description of a workload, by hand and on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from spane_rllib.__main__ import main
from spane_rllib.datasets.job_catalog import JOB_DATASETS
from spane_rllib.problems.gpu_jobs.simulator.jobs import make_jobs
from spane_rllib.problems.gpu_jobs.workloads.describe import DAY_S, describe
from spane_rllib.problems.gpu_jobs.workloads.settings import FORMS


def test_a_description_by_hand() -> None:
    jobs = make_jobs(
        [0, 0, 10, 100], [20, 5, 40, 10], [1, 2, 0.5, 8], [1, 1, 1, 5], [7, 7, 7, 9], name="four"
    )
    found = describe(jobs, 4)
    assert (found.jobs, found.users, found.busiest_users) == (4, 2, (0.75, 1.0))
    assert found.arrival_span == 100 and found.arrivals_per_hour == 144
    assert found.same_second_share == pytest.approx(1 / 3)
    assert found.gpu_seconds == 20 + 10 + 20 + 80
    assert found.load == pytest.approx(130 / 400)
    assert [(one.value, one.jobs, one.median_runtime) for one in found.by_gpus] == [
        *((0.5, 1, 40), (1, 1, 20), (2, 1, 5), (8, 1, 10))
    ]
    assert [one.gpu_seconds_share for one in found.by_priority] == pytest.approx([50 / 130, 80 / 130])
    # 3 GPUs for 5 s, 1 for 5, 1.5 for 10, 0.5 for 30, then none until the last arrives.
    assert found.demand == (0.0, 0.0, 3.0)
    [day] = found.daily_demand
    assert day == pytest.approx(130 / DAY_S, abs=1e-3)
    assert "4 jobs; users: 2" in found.to_text()
    assert json.loads(found.to_json())["gpus"] == 4


def test_jobs_that_all_arrive_at_once() -> None:
    found = describe(make_jobs([5, 5], [10, 20], [1, 2]), 4)
    assert found.demand == (3.0, 3.0, 3.0)
    assert np.isinf(found.load)
    assert json.loads(found.to_json())["load"] is None


def test_describe_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "pods.csv"
    file.write_text(
        "name,num_gpu,gpu_milli,pod_phase,creation_time,deletion_time,scheduled_time\na,1,500,Succeeded,0,99,9\n"
    )
    words = ["data", "describe", "--problem", "gpu_jobs"]
    plot = ["--plot", str(tmp_path / "jobs.png")]
    assert main([*words, str(file), "--reading", "{form: openb2023}", "--json", *plot]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["by_gpus"][0]["value"] == 0.5 and found["runtime_mean"] == 90
    assert (tmp_path / "jobs.png").stat().st_size > 1000
    assert main([*words, "synthetic:jobs=50,load=0.8", "--gpus", "8"]) == 0
    assert "times what 8 GPUs do" in capsys.readouterr().out


def test_the_catalogue_knows_the_forms_that_are_read() -> None:
    assert {dataset.form for dataset in JOB_DATASETS} == set(FORMS)


def test_verify_reads_a_known_workload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    Path("data/low_workload.csv").write_text("arrival_time,runtime\n0,9\n")
    assert main(["data", "verify", "drl-scheduler-low"]) == 2
    assert "is not the published file of drl-scheduler-low" in capsys.readouterr().err
    Path("data/heavy_workload.csv").write_text("arrival_time,runtime\n0,9\n")
    assert main(["data", "verify", "drl-scheduler-heavy"]) == 0
    assert "1 jobs" in capsys.readouterr().out
