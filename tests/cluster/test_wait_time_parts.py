"""Parts of a wait-time evaluation: their identity, and how jobs for them start, repeat and are adopted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ray.job_submission import JobStatus

from spane_rllib.cluster.parts import Part, collect, make_parts, run_parts
from spane_rllib.core.errors import UserError
from spane_rllib.evaluate import Episodes
from spane_rllib.problems.vm_scheduling.networks.registry import build_network
from spane_rllib.problems.vm_scheduling.networks.weights import (
    ModelMetadata,
    Normalisation,
    TraceIdentity,
    save_model,
)
from spane_rllib.problems.vm_scheduling.simulator import Cluster
from spane_rllib.problems.vm_scheduling.traces.splits import splits_of
from spane_rllib.problems.vm_scheduling.traces.synthetic import synthesize
from spane_rllib.problems.vm_scheduling.waits.evaluation import EPISODE_COLUMNS


def make_episodes(
    starts: tuple[int, ...] = (700, 650), servers: tuple[int, ...] = (2, 3), seed: int = 0
) -> Episodes:
    trace = synthesize(vms=1000, seed=seed)
    return Episodes(trace, [Cluster(n) for n in servers], splits_of(trace), np.array(starts))


def write_model(folder: Path, seed: int = 0, kind: str = "spane") -> str:
    metadata = ModelMetadata(
        servers=2,
        normalisation=Normalisation(node_cpu=40, node_memory=90, double_memory_threshold=10),
        trace=TraceIdentity(name="t", sha256="0" * 64),
        seed=0,
    )
    save_model(folder, build_network(kind, {}, 2, seed=seed), metadata)
    return str(folder)


def write_result(part: Part) -> None:
    rows = [
        (f"/somewhere/{policy}", cluster.servers, start, 50, 0.1 + 0.2, 0.3, 1 / 3, -1.0, 0.0)
        for cluster in part.episodes.clusters
        for policy in part.policies
        for start in part.episodes.starts
    ]
    part.folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows, columns=list(EPISODE_COLUMNS)).to_csv(part.folder / "episodes.csv", index=False)


class Queue:
    """Ends every job at the second look; the first `failures` jobs of a part leave no result."""

    def __init__(self, failures: Mapping[str, int] | None = None) -> None:
        self.failures = dict(failures or {})
        self.jobs: dict[str, Part] = {}
        self.looks: dict[str, int] = {}
        self.most = 0
        self.foreign: dict[str, dict[str, str]] = {}

    def submit(self, part: Part) -> str:
        name = f"job{len(self.jobs)}"
        self.jobs[name], self.looks[name] = part, 0
        self.most = max(self.most, sum(looks < 2 for looks in self.looks.values()))
        return name

    def status(self, submission_id: str) -> JobStatus:
        self.looks[submission_id] += 1
        if self.looks[submission_id] < 2:
            return JobStatus.RUNNING
        part = self.jobs[submission_id]
        if self.failures.get(part.name, 0) > 0:
            self.failures[part.name] -= 1
            return JobStatus.FAILED
        write_result(part)
        return JobStatus.SUCCEEDED

    def unfinished(self) -> dict[str, dict[str, str]]:
        return self.foreign

    def run(self, parts: list[Part], parallel: int = 2, retries: int = 1) -> dict[str, str]:
        return run_parts(self, parts, self.submit, parallel=parallel, retries=retries, poll_s=0)


def parts_in(folder: Path, count: int = 5) -> list[Part]:
    episodes = make_episodes()
    return [
        Part(f"m{i}", (f"m{i}",), (f"/abs/m{i}",), folder / "parts" / f"key{i}", episodes)
        for i in range(count)
    ]


def test_every_part_is_run_once_and_no_more_jobs_than_allowed(tmp_path: Path) -> None:
    parts, queue = parts_in(tmp_path), Queue()
    assert queue.run(parts, parallel=2) == {}
    assert [part.name for part in queue.jobs.values()] == ["m0", "m1", "m2", "m3", "m4"]
    assert queue.most == 2


def test_a_second_call_runs_only_what_is_missing_or_damaged(tmp_path: Path) -> None:
    parts = parts_in(tmp_path)
    Queue().run(parts)
    (parts[0].folder / "episodes.csv").unlink()
    (parts[1].folder / "episodes.csv").write_text("not,a,table\n")
    truncated = parts[3].folder / "episodes.csv"
    truncated.write_text("".join(truncated.read_text().splitlines(keepends=True)[:-1]))
    queue = Queue()
    queue.run(parts)
    assert sorted(part.name for part in queue.jobs.values()) == ["m0", "m1", "m3"]
    again = Queue()
    again.run(parts)
    assert not again.jobs


def test_a_failed_job_is_repeated_as_often_as_allowed(tmp_path: Path) -> None:
    parts, queue = parts_in(tmp_path, 3), Queue({"m0": 1, "m2": 9})
    failed = queue.run(parts, retries=2)
    names = [part.name for part in queue.jobs.values()]
    assert {name: names.count(name) for name in names} == {"m0": 2, "m1": 1, "m2": 3}
    assert failed == {"m2": max(name for name, part in queue.jobs.items() if part.name == "m2")}
    with pytest.raises(UserError, match="m2 has gone"):
        collect(parts)


def test_jobs_of_an_interrupted_call_are_waited_for(tmp_path: Path) -> None:
    parts, queue = parts_in(tmp_path, 3), Queue()
    queue.jobs["earlier"], queue.looks["earlier"] = parts[1], 0
    queue.foreign = {
        "earlier": {"part": "key1", "folder": str(parts[1].folder)},
        "elsewhere": {"part": "key2", "folder": "/other/parts/key2"},
        "unrelated": {},
    }
    assert queue.run(parts) == {}
    assert [part.name for name, part in queue.jobs.items() if name != "earlier"] == ["m0", "m2"]


def test_results_are_collected_in_the_order_of_evaluate_and_exactly(tmp_path: Path) -> None:
    episodes = make_episodes()
    parts = [
        Part("models/b", ("models/b",), ("/x/models/b",), tmp_path / "1", episodes),
        Part("heuristics", ("random", "fgd"), ("random", "fgd"), tmp_path / "2", episodes),
    ]
    for part in parts:
        write_result(part)
    table = collect(parts)
    assert list(table["policy"]) == ["models/b"] * 2 + ["random"] * 2 + ["fgd"] * 2 + (
        ["models/b"] * 2 + ["random"] * 2 + ["fgd"] * 2
    )
    assert list(table["servers"]) == [2] * 6 + [3] * 6
    assert list(table["start"]) == [700, 650] * 6
    assert set(table["total_wait_s"]) == {0.1 + 0.2}
    assert set(table["max_wait_s"]) == {1 / 3}


def test_the_key_of_a_part_holds_all_that_decides_its_result(tmp_path: Path) -> None:
    model, copy = write_model(tmp_path / "a"), write_model(tmp_path / "copy")
    other = write_model(tmp_path / "b", seed=1)

    def key(model: str, episodes: Episodes | None = None, seed: int = 0) -> str:
        [part] = make_parts([model], [], episodes or make_episodes(), seed, tmp_path)
        return part.key

    assert key(model) == key(copy)
    different = [
        key(model),
        key(other),
        key(model, seed=1),
        key(model, make_episodes(starts=(650, 700))),
        key(model, make_episodes(servers=(2,))),
        key(model, make_episodes(seed=1)),
        make_parts([], ["random"], make_episodes(), 0, tmp_path)[0].key,
        make_parts([], ["random", "fgd"], make_episodes(), 0, tmp_path)[0].key,
    ]
    assert len(set(different)) == len(different)


def test_equal_models_share_one_job(tmp_path: Path) -> None:
    models = [write_model(tmp_path / "a"), write_model(tmp_path / "copy")]
    parts, queue = make_parts(models, ["random"], make_episodes(), 0, tmp_path / "out"), Queue()
    queue.run(parts)
    assert len(queue.jobs) == 2
    assert list(collect(parts)["policy"].unique()) == [*models, "random"]


def test_models_that_cannot_play_are_refused_before_anything_is_submitted(tmp_path: Path) -> None:
    fixed = write_model(tmp_path / "mlp", kind="mlp")
    for models, message in (
        ([fixed], "made for another number of servers than 3"),
        (["first-fit"], "is a heuristic; name models here"),
        ([str(tmp_path / "absent")], "neither a heuristic"),
    ):
        with pytest.raises(UserError, match=message):
            make_parts(models, [], make_episodes(), 0, tmp_path / "out")
    assert not (tmp_path / "out").exists()
