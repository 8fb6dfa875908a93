"""Workloads, clusters, rules, models and recordings of GPU jobs that cannot be."""

from __future__ import annotations

import gzip
import json
import os
import shlex
from pathlib import Path
from typing import Any

import pytest
from refusals import Refuse

EVALUATE = "evaluate --problem gpu_jobs --policy fcfs"
DESCRIBE = "data describe --problem gpu_jobs"
SMALL = f"{EVALUATE} --jobs synthetic:jobs=9"
LONG = "x" * 300
TABLE = [
    # workloads
    ("evaluate --problem gpu_jobs", "arguments are required: --policy"),
    (f"{EVALUATE} --jobs absent", "jobs absent: no such file; give one, or synthetic or published"),
    (f"{EVALUATE} --jobs empty", "jobs empty: no such file"),
    (f"{EVALUATE} --jobs pipe", "jobs pipe: no such file"),
    (f"{EVALUATE} --jobs zero", "jobs zero: no such file"),
    (f"{EVALUATE} --jobs loop", "jobs loop: no such file"),
    (f"{EVALUATE} --jobs file", "file: no column runtime; there are a, b"),
    (f"{EVALUATE} --jobs {LONG}", "File name too long"),
    (f"{EVALUATE} --jobs synthetic:jobs=0", "jobs must be a number from 1 to 5e+06, got '0'"),
    (f"{EVALUATE} --jobs synthetic:jobs=1e9", "jobs must be a number from 1"),
    (f"{EVALUATE} --jobs synthetic:jobs=9,load=nan", "load must be a number from 0.001 to 1000, got 'nan'"),
    (f"{EVALUATE} --jobs synthetic:jobs=9,lod=1", "'lod' is unknown; did you mean load?"),
    (f"{EVALUATE} --jobs synthetic:9", "'9' is unknown"),
    (f"{EVALUATE} --jobs published:seconds=-1", "seconds must be a number from 1"),
    (f"{EVALUATE} --jobs published:rate=1e-6,seconds=1", "no job arrives; give a longer time"),
    # what their columns mean
    (f"{SMALL} --reading 5", "reading: must be a mapping of keys to values"),
    (f"{SMALL} --reading '{{'", "argument --reading: line 1: not valid YAML"),
    (f"{SMALL} --reading '*a'", "anchors, aliases and tags"),
    (f"{SMALL} --reading '{{form: swf}}'", "reading.form: must be 'csv', "),
    (f"{SMALL} --reading '{{largest: 0}}'", "reading.largest: must be greater than or equal to 1"),
    (f"{SMALL} --reading '{{cpus_per_gpu: .nan}}'", "reading.cpus_per_gpu: must be a finite number"),
    (f"{SMALL} --reading '{{forms: csv}}'", "reading.forms: unknown key; did you mean form?"),
    (f"{EVALUATE} --jobs file --reading '{{form: philly}}'", "file: not JSON"),
    (f"{EVALUATE} --jobs file --reading '{{form: helios}}'", "file: no column submit_time"),
    # clusters and rules
    (f"{SMALL} --cluster '{{types: []}}'", "cluster.types: "),
    (f"{SMALL} --cluster '{{types: [{{name: A, count: 0, flops: 1.0}}]}}'", "cluster.types.0.count"),
    (f"{SMALL} --cluster '{{types: [{{name: A, count: 8}}]}}'", "cluster.types.0.flops: "),
    (f"{SMALL} --cluster '{{split: half}}'", "cluster.split: must be 'never', 'type' or 'any'"),
    (
        f"{SMALL} --cluster '{{types: [{{name: A, count: 1, flops: 1.0}}]}}'",
        "the cluster can give it 1 at most; allow a split, or give it larger nodes",
    ),
    (f"{SMALL} --rules mine", "rules: must be 'corrected' or 'published', got 'mine'"),
    (f"{SMALL} --rules published --cluster '{{split: never}}'", "rules published: the reference splits"),
    (f"{SMALL} --horizon 0", "horizon: must be greater than 0"),
    (f"{SMALL} --horizon .inf", "horizon: must be a finite number"),
    (f"{SMALL} --horizon soon", "horizon: must be a number, got 'soon'"),
    (f"{SMALL} --runtimes guessed", "runtimes: must be 'known', 'estimated' or 'unknown'"),
    (f"{SMALL} --noise -1", "noise: must be greater than or equal to 0"),
    (f"{SMALL} --restart x", "restart: must be a number"),
    (f"{SMALL} --measured '[0.5, 0.5]'", "measured: must be a range within 0 to 1, got [0.5, 0.5]"),
    (f"{SMALL} --measured '[0, 2]'", "measured.1: must be less than or equal to 1"),
    (f"{SMALL} --measured 1", "measured: "),
    (f"{SMALL} --episodes 0", "argument --episodes: must be a whole number"),
    (f"{SMALL} --seed -1", "argument --seed: must be a whole number"),
    (f"{SMALL} --servers 5", "unrecognized arguments: --servers 5"),
    (f"{SMALL} --output file", "cannot write to file: Not a directory"),
    (f"{SMALL} --record loop", "Too many levels of symbolic links"),
    # policies
    (f"{SMALL} --policy nobody", "policy 'nobody': neither a baseline (fcfs, "),
    (f"{SMALL} --policy ''", "policy '': neither a baseline"),
    (f"{SMALL} --policy loop", "policy 'loop': neither a baseline"),
    (f"{SMALL} --policy empty", "no such file; a model folder holds model.json"),
    (f"{SMALL} --policy absent_module:P", "absent_module:P: no module absent_module"),
    (f"{SMALL} --policy json:dumps", "policy json:dumps: needs to be a class with a method act(obser"),
    (f"{SMALL} --policy easy --rules published", "plays under the corrected rules only"),
    (f"{SMALL} --policy sixth", "plays under the published rules only"),
    # comparing, describing, training
    ("compare --problem gpu_jobs --jobs synthetic:jobs=9 fcfs nobody", "policy 'nobody'"),
    (f"{DESCRIBE} absent", "jobs absent: no such file"),
    (f"{DESCRIBE} synthetic:jobs=9 --gpus 0", "argument --gpus: must be a whole number from 1"),
    (f"{DESCRIBE} synthetic:jobs=9 --plot out.xyz", "cannot draw out.xyz: the suffix must be one of"),
    (f"{DESCRIBE} synthetic:jobs=9 --reading '{{form: 5}}'", "reading: form: must be 'csv', "),
    (f"{DESCRIBE} synthetic:jobs=9 --skip-invalid", "are of traces of VMs; leave them out"),
    ("data describe synthetic --gpus 5", "argument --gpus: only allowed with argument --problem gpu_jobs"),
    ("data fetch philly --output out", "philly is not fetched by this command: get "),
    ("data verify helios", "cluster_log.csv"),
    ("tune gpu_jobs --set episode.loads=[2,1]", "loads must be a range, got [2.0, 1.0]"),
    ("tune gpu_jobs --set episode.slots=0", "episode.slots"),
    ("tune gpu_jobs --set methods.ppo.network=d3qn", "methods.ppo: network d3qn needs rules: published"),
    ("tune gpu_jobs --from absent", "absent/model.json: no such file"),
    ("tune gpu_jobs --from empty", "empty/model.json: no such file"),
    ("tune gpu_jobs --from ''", "model.json: no such file"),
    ("models import absent --problem gpu_jobs", "absent"),
]


@pytest.fixture
def stocked(place: Path) -> Path:
    """A working directory with files of the wrong kind."""
    (place / "empty").mkdir()
    (place / "file").write_text("a,b\n1,2\n")
    (place / "loop").symlink_to("loop")
    (place / "zero").symlink_to("/dev/zero")
    os.mkfifo(place / "pipe")
    return place


@pytest.mark.usefixtures("stocked")
@pytest.mark.parametrize(("line", "expected"), TABLE, ids=[line for line, _ in TABLE])
def test_bad_command_line(refuse: Refuse, line: str, expected: str) -> None:
    assert expected in refuse(*shlex.split(line))


HEAD = "arrival_time,runtime,gpus,priority\n"
FILES: dict[str, tuple[str | bytes, str]] = {
    "nothing": ("", "is empty"),
    "a header": (HEAD, "no job runs for more than a second"),
    "a picture": (b"\x89PNG\r\n\x1a\n\x00\x00", "is a binary file"),
    "UTF-16": ((HEAD + "0,5,1,1\n").encode("utf-16"), "UTF-16; save it as UTF-8"),
    "Latin-1": (HEAD.encode() + b"0,5,1,\xe9\n", "row 2: not UTF-8"),
    "cut gzip": (gzip.compress(HEAD.encode() * 9)[:-4], "gzip data is damaged or cut short"),
    "no run times": ("arrival_time,gpus\n0,1\n", "no column runtime; there are arrival_time, gpus"),
    "two columns of one name": ("runtime,runtime\n1,1\n", "two columns have one name"),
    "a short row": (HEAD + "0,5,1\n", "row 2: must have 4 values, got 3"),
    "a long row": (HEAD + "0,5,1,1\n0,5,1,1,1\n", "row 3: must have 4 values, got 5"),
    "a text": (HEAD + "0,five,1,1\n", "row 2: runtime must be a number of at least 0, got 'five'"),
    "a gap": (HEAD + "0,5,,1\n", "row 2: gpus must be a number of at least 0, got ''"),
    "a negative time": (HEAD + "-1,5,1,1\n", "row 2: arrival_time must be a number of at least 0"),
    "infinity": (HEAD + "0,inf,1,1\n", "row 2: runtime must be"),
    "a number that is none": (HEAD + "nan,5,1,1\n", "row 2: arrival_time must be"),
    "half a second GPU": (HEAD + "0,5,1.5,1\n", "row 2: gpus above 1 must be a whole number"),
    "more than the cluster": (HEAD + "0,5,57,1\n", "job 0 asks for 57 GPUs, and the cluster can give it 56"),
    "a huge number": (HEAD + "0,5,1e300,1\n", "row 2: gpus must be a number of at least 0 and at most 1e+06"),
    "the end of time": (HEAD + "1e300,5,1,1\n", "row 2: arrival_time must be a number of at least 0 and at"),
    "control characters": (HEAD + "0,\x1b[2J,1,1\n", "row 2: runtime must be"),
}


@pytest.mark.parametrize(("content", "expected"), FILES.values(), ids=FILES)
def test_bad_workload(refuse: Refuse, place: Path, content: str | bytes, expected: str) -> None:
    (place / "jobs.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    assert expected in refuse(*shlex.split(f"{EVALUATE} --jobs jobs.csv"))


RECORDING: dict[str, Any] = {
    "format": "spane_rllib recording",
    "version": 1,
    "problem": "gpu_jobs",
    "policy": "fcfs",
    "workload": "two jobs",
    "end": 9.0,
    "types": [["A", 2]],
    "jobs": {
        "number": [0, 1],
        "arrival": [0.0, 1.0],
        "runtime": [5.0, 4.0],
        "gpus": [1.0, 2.0],
        "priority": [1.0, 1.0],
    },
    "runs": {"job": [0, 1], "start": [0.0, 5.0], "finish": [5.0, 9.0], "gpus": [0, 0, 1]},
    "unfinished": [],
}
CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "no types": ({"types": []}, "types"),
    "no jobs": ({"jobs": {}}, "jobs.number"),
    "another key": ({"x": 1}, "x: unknown key"),
    "a number in place of a list": ({"runs": 5}, "runs: must be a mapping"),
    "not a number": ({"end": float("nan")}, "end: must be a finite number"),
    "columns": ({"unfinished": [7]}, "a job that there is not among 2"),
    "GPUs": ({"types": [["A", 1]]}, "its GPUs are not those that its jobs ask for, of 1"),
    "end": ({"end": 6.0}, "outside of the schedule"),
    "a GPU twice": (
        {"runs": {"job": [0, 1], "start": [0.0, 4.0], "finish": [5.0, 8.0], "gpus": [0, 0, 1]}},
        "a GPU is held twice",
    ),
    "order": (
        {"runs": {"job": [1, 0], "start": [5.0, 0.0], "finish": [9.0, 5.0], "gpus": [0, 1, 0]}},
        "not in the order of time",
    ),
}


@pytest.mark.parametrize(("change", "expected"), CHANGES.values(), ids=CHANGES)
def test_bad_recording_of_a_schedule(
    refuse: Refuse, place: Path, change: dict[str, Any], expected: str
) -> None:
    (place / "a.json").write_text(json.dumps(RECORDING | change))
    assert expected in refuse("view", "a.json", "--no-browser")


def test_two_recordings_of_other_jobs(refuse: Refuse, place: Path) -> None:
    (place / "a.json").write_text(json.dumps(RECORDING))
    other = RECORDING | {"jobs": RECORDING["jobs"] | {"runtime": [5.0, 3.5]}}
    (place / "b.json").write_text(json.dumps(other))
    assert "are not of the same jobs" in refuse("view", "a.json", "b.json", "--no-browser")
