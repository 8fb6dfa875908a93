"""Readers on small files of the documented shape, generators, and complaints."""

import json
from pathlib import Path

import numpy as np
import pytest

from spane_rllib.core.errors import UserError
from spane_rllib.problems.gpu_jobs.simulator.cluster import Cluster, GpuType
from spane_rllib.problems.gpu_jobs.simulator.jobs import Jobs
from spane_rllib.problems.gpu_jobs.workloads.loading import load_jobs
from spane_rllib.problems.gpu_jobs.workloads.readers import read_jobs
from spane_rllib.problems.gpu_jobs.workloads.settings import ReadingSettings
from spane_rllib.problems.gpu_jobs.workloads.synthetic import synthetic_jobs


def read(folder: Path, text: str, form: str = "csv", **options: object) -> Jobs:
    file = folder / "jobs.csv"
    file.write_text(text)
    return read_jobs(file, ReadingSettings(form=form, **options))


def rows(jobs: Jobs) -> list[tuple[float, ...]]:
    columns = jobs.arrival, jobs.runtime, jobs.gpus, jobs.priority
    return list(zip(*(column.tolist() for column in columns), strict=True))


def test_plain_files_are_sorted_and_short_jobs_dropped(tmp_path: Path) -> None:
    text = "arrival_time,runtime,gpus,priority\n5,10,2,1.0\n3,1.0,1,0.5\n0,20,0.5,0.5\n"
    jobs = read(tmp_path, text)
    assert rows(jobs) == [(0, 20, 0.5, 0.5), (5, 10, 2, 1)]
    assert jobs.number.tolist() == [2, 0]
    assert jobs.flops.tolist() == [20 * 0.5e12, 20e12]
    assert rows(read(tmp_path, "arrival_time,runtime\n1,9\n")) == [(1, 9, 1, 1)]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "arrival_time,runtime,gpus\n0,5,1\n1,x,1\n",
            "row 3: runtime must be a number of at least 0, got 'x'",
        ),
        ("arrival_time,runtime,gpus\n0,5,-1\n", "row 2: gpus must be a number of at least 0"),
        ("arrival_time,runtime,gpus\n0,5,1.5\n", "row 2: gpus above 1 must be a whole number, got 1.5"),
        ("arrival_time,gpus\n0,5\n", "no column runtime"),
        ("arrival_time,runtime\n0,5,1,7\n0\n", "row 2: must have 2 values, got 4"),
        ("arrival_time,runtime\n0,0.5\n", "no job runs for more than a second"),
        ("arrival_time,runtime\n0,inf\n", "row 2: runtime must be"),
        ("", "is empty"),
    ],
)
def test_complaints_name_the_row(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        read(tmp_path, text)


def test_pai_2020(tmp_path: Path) -> None:
    text = (
        "a,worker,1,Terminated,100,160,600,30,25,T4\n"
        "a,ps,4,Failed,110,140,600,30,100,V100\n"
        "b,worker,1,Running,120,,600,30,100,V100\n"
        "c,tensorflow,1,Terminated,130,150,600,30,,\n"
    )
    assert rows(read(tmp_path, text, "pai2020")) == [
        (100, 60, 0.25, 0.5),
        (110, 30, 4, 2.5),
        (130, 20, 0, 0.5),
    ]
    done = read(tmp_path, text, "pai2020", unfinished="drop", fractions="up", priorities="one")
    assert rows(done) == [(100, 60, 1, 1), (130, 20, 0, 1)]


def test_openb_2023(tmp_path: Path) -> None:
    text = (
        "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time\n"
        "p0,1000,10,1,460,,LS,Running,0,100,10\n"
        "p1,1000,10,2,1000,,BE,Succeeded,5,50,\n"
        "p2,1000,10,0,0,,BE,Pending,6,,\n"
    )
    assert rows(read(tmp_path, text, "openb2023", priorities="source")) == [(0, 90, 0.46, 3), (5, 45, 2, 1)]


def test_philly(tmp_path: Path) -> None:
    attempt = {"start_time": "2017-10-09 00:01:00", "end_time": "2017-10-09 00:03:00"}
    attempt |= {"detail": [{"ip": "m1", "gpus": ["gpu0", "gpu1"]}]}
    job = {"status": "Pass", "vc": "v", "jobid": "j", "attempts": [attempt, attempt], "user": "u"}
    entries = [{**job, "submitted_time": "2017-10-09 00:00:00"}]
    [(_, runtime, gpus, priority)] = rows(read(tmp_path, json.dumps(entries), "philly"))
    assert (runtime, gpus, priority) == (240, 2, 1)
    with pytest.raises(UserError, match="job 1"):
        read(tmp_path, json.dumps([{"status": "Pass"}]), "philly")


def test_helios(tmp_path: Path) -> None:
    text = (
        "job_id,user,vc,gpu_num,cpu_num,node_num,state,submit_time,start_time,end_time,duration,queue\n"
        "1,u1,v,8,64,1,COMPLETED,2020-04-01 00:00:10,2020-04-01 00:00:20,2020-04-01 00:01:20,60,10\n"
        "2,u2,v,16,64,2,FAILED,2020-04-01 00:00:05,2020-04-01 00:00:20,2020-04-01 00:00:50,30,15\n"
    )
    jobs = read(tmp_path, text, "helios").rebased()
    assert rows(jobs) == [(0, 30, 8, 5), (5, 60, 8, 5)]
    assert len(set(jobs.user.tolist())) == 2


def test_google(tmp_path: Path) -> None:
    second = 1_000_000
    events = [(1, 0), (3, 1), (13, 4)]
    text = "".join(f"{at * second},,7,0,,{event},u,2,9,0.25,0.1,0,\n" for at, event in events)
    assert rows(read(tmp_path, text, "google2011", priorities="source")) == [(1, 10, 2, 10)]
    header = "time,type,collection_id,instance_index,priority,resource_request.cpus\n"
    text = header + "".join(
        f"{at * second},{event},7,0,200,0.125\n" for at, event in [(1, 0), (3, 3), (9, 6)]
    )
    assert rows(read(tmp_path, text, "google2019")) == [(1, 6, 1, 0.5)]


@pytest.mark.parametrize("load", [0.7, 1.1])
def test_the_generator_keeps_its_load(load: float) -> None:
    jobs = synthetic_jobs(5000, load, seed=4)
    assert jobs.load(56) == pytest.approx(load, rel=0.02)
    assert (np.diff(jobs.arrival) >= 0).all()
    assert jobs.runtime.mean() > 2 * np.median(jobs.runtime)
    assert synthetic_jobs(5000, load, seed=4).sha256 == jobs.sha256
    assert synthetic_jobs(5000, load, seed=5).sha256 != jobs.sha256


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("synthetic:lod=1", "'lod' is unknown; did you mean load"),
        ("synthetic:load=0", "load must be a number from 0.001 to 1000"),
        ("published:seconds=x", "seconds must be a number"),
        ("nowhere.csv", "jobs nowhere.csv: no such file"),
    ],
)
def test_workloads_that_are_none(text: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        load_jobs(text, Cluster())


def test_jobs_that_no_node_can_hold_are_refused() -> None:
    nodes = Cluster((GpuType("a", 8, 1e13, node=4),), "never")
    with pytest.raises(UserError, match=r"asks for 8 GPUs, and the cluster can give it 4 at most"):
        load_jobs("synthetic", nodes)
