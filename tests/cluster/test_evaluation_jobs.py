"""Evaluations by jobs: their identity, and how jobs start, repeat and are adopted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ray.job_submission import JobStatus

from spane_rllib.cluster.parts import EvaluationJob, collect, make_jobs, run_jobs
from spane_rllib.core.console import Parser
from spane_rllib.core.errors import UserError
from spane_rllib.datasets.vm_traces.synthetic import synthesize
from spane_rllib.experiments.results.parts import PartStore
from spane_rllib.problems.problem import Evaluation, Problem
from spane_rllib.problems.vm_scheduling.allocations.problem import ALLOCATIONS
from spane_rllib.problems.vm_scheduling.networks.registry import build_network
from spane_rllib.problems.vm_scheduling.networks.weights import (
    ModelMetadata,
    Normalisation,
    TraceIdentity,
    save_model,
)
from spane_rllib.problems.vm_scheduling.pretrained import pretrained_names
from spane_rllib.problems.vm_scheduling.waits.instance import WaitInstance
from spane_rllib.problems.vm_scheduling.waits.problem import WAITS
from spane_rllib.problems.vm_scheduling.waits.task import WaitEvaluation, WaitTask

HEURISTICS = ("first-fit", "best-fit", "worst-fit", "sbf", "random")


def make_evaluation(
    starts: tuple[int, ...] = (700, 650),
    servers: tuple[int, ...] = (2, 3),
    trace_seed: int = 0,
    seed: int = 0,
) -> WaitEvaluation:
    task = WaitTask(WAITS, WaitInstance(trace=synthesize(vms=1000, seed=trace_seed), servers=servers[0]))
    return WaitEvaluation(task, servers, np.array(starts), seed)


def write_model(folder: Path, seed: int = 0, kind: str = "spane") -> str:
    metadata = ModelMetadata(
        servers=2,
        normalisation=Normalisation(node_cpu=40, node_memory=90, double_memory_threshold=10),
        trace=TraceIdentity(name="t", sha256="0" * 64),
        seed=0,
    )
    save_model(folder, build_network(kind, {}, 2, seed=seed), metadata)
    return str(folder)


def write_result(job: EvaluationJob, store: PartStore) -> None:
    for part in job.parts:
        name = f"/somewhere/{part.policy.name}"
        rows = [
            (
                name,
                part.case,
                start,
                50,
                0.1 + 0.2,
                0.3,
                1 / 3,
                -1.0,
                0.0,
                0,
                0,
                0,
                0.1,
                0.2,
                0,
                0,
                50,
                0,
                0,
                0,
            )
            for start in (700, 650)
        ]
        store.write(part, pd.DataFrame(rows, columns=list(WAITS.episode_columns)))


class Queue:
    """Ends every job at the second look; the first `failures` jobs of a name leave no result."""

    def __init__(self, store: PartStore, failures: Mapping[str, int] | None = None) -> None:
        self.store = store
        self.failures = dict(failures or {})
        self.jobs: dict[str, EvaluationJob] = {}
        self.looks: dict[str, int] = {}
        self.most = 0
        self.foreign: dict[str, dict[str, str]] = {}

    def submit(self, job: EvaluationJob) -> str:
        name = f"job{len(self.jobs)}"
        self.jobs[name], self.looks[name] = job, 0
        self.most = max(self.most, sum(looks < 2 for looks in self.looks.values()))
        return name

    def status(self, submission_id: str) -> JobStatus:
        self.looks[submission_id] += 1
        if self.looks[submission_id] < 2:
            return JobStatus.RUNNING
        job = self.jobs[submission_id]
        if self.failures.get(job.name, 0) > 0:
            self.failures[job.name] -= 1
            return JobStatus.FAILED
        write_result(job, self.store)
        return JobStatus.SUCCEEDED

    def unfinished(self) -> dict[str, dict[str, str]]:
        return self.foreign

    def run(self, jobs: list[EvaluationJob], parallel: int = 2, retries: int = 1) -> dict[str, str]:
        return run_jobs(self, jobs, self.store, self.submit, parallel=parallel, retries=retries, poll_s=0)


@pytest.fixture(scope="module")
def evaluation() -> WaitEvaluation:
    return make_evaluation()


@pytest.fixture
def store(evaluation: WaitEvaluation, tmp_path: Path) -> PartStore:
    return PartStore(tmp_path / "parts", evaluation)


def jobs_of(evaluation: Evaluation, count: int = 5) -> list[EvaluationJob]:
    """A job named after each of the first heuristics."""
    jobs = [make_jobs(evaluation, [], [name])[0] for name in HEURISTICS[:count]]
    return [EvaluationJob(f"m{i}", job.policies, job.parts) for i, job in enumerate(jobs)]


def test_every_job_is_run_once_and_no_more_than_allowed(evaluation: Evaluation, store: PartStore) -> None:
    jobs, queue = jobs_of(evaluation), Queue(store)
    assert queue.run(jobs, parallel=2) == {}
    assert [job.name for job in queue.jobs.values()] == ["m0", "m1", "m2", "m3", "m4"]
    assert queue.most == 2


def test_a_second_call_runs_only_what_is_missing_or_damaged(evaluation: Evaluation, store: PartStore) -> None:
    jobs = jobs_of(evaluation)
    Queue(store).run(jobs)
    store.file(jobs[0].parts[1]).unlink()
    store.file(jobs[1].parts[0]).write_text("not,a,table\n")
    truncated = store.file(jobs[3].parts[0])
    truncated.write_text("".join(truncated.read_text().splitlines(keepends=True)[:-1]))
    queue = Queue(store)
    queue.run(jobs)
    assert sorted(job.name for job in queue.jobs.values()) == ["m0", "m1", "m3"]
    again = Queue(store)
    again.run(jobs)
    assert not again.jobs


def test_a_failed_job_is_repeated_as_often_as_allowed(evaluation: Evaluation, store: PartStore) -> None:
    jobs, queue = jobs_of(evaluation, 3), Queue(store, {"m0": 1, "m2": 9})
    failed = queue.run(jobs, retries=2)
    names = [job.name for job in queue.jobs.values()]
    assert {name: names.count(name) for name in names} == {"m0": 2, "m1": 1, "m2": 3}
    assert failed == {"m2": max(name for name, job in queue.jobs.items() if job.name == "m2")}
    with pytest.raises(UserError, match=f"cannot read .*{jobs[2].parts[0].key}"):
        collect(evaluation, jobs, store)


def test_jobs_of_an_interrupted_call_are_waited_for(evaluation: Evaluation, store: PartStore) -> None:
    jobs, queue = jobs_of(evaluation, 3), Queue(store)
    queue.jobs["earlier"], queue.looks["earlier"] = jobs[1], 0
    queue.foreign = {
        "earlier": {"part": jobs[1].key, "folder": str(store.folder)},
        "elsewhere": {"part": jobs[2].key, "folder": "/other/parts"},
        "unrelated": {},
    }
    assert queue.run(jobs) == {}
    assert [job.name for name, job in queue.jobs.items() if name != "earlier"] == ["m0", "m2"]


def test_results_are_collected_in_the_order_of_evaluate_and_exactly(
    evaluation: Evaluation, store: PartStore, tmp_path: Path
) -> None:
    model = write_model(tmp_path / "models" / "b")
    jobs = make_jobs(evaluation, [model], ["random", "fgd"])
    for job in jobs:
        write_result(job, store)
    table = collect(evaluation, jobs, store)
    policies = [model] * 2 + ["random"] * 2 + ["fgd"] * 2
    assert list(table["policy"]) == policies * 2
    assert list(table["servers"]) == [2] * 6 + [3] * 6
    assert list(table["start"]) == [700, 650] * 6
    assert set(table["total_wait_s"]) == {0.1 + 0.2}
    assert set(table["max_wait_s"]) == {1 / 3}


def test_the_key_of_a_job_holds_all_that_decides_its_result(tmp_path: Path) -> None:
    model, copy = write_model(tmp_path / "a"), write_model(tmp_path / "copy")
    other = write_model(tmp_path / "b", seed=1)

    def key(model: str, evaluation: Evaluation | None = None) -> str:
        [job] = make_jobs(evaluation or make_evaluation(), [model], [])
        return job.key

    assert key(model) == key(copy)
    different = [
        key(model),
        key(other),
        key(model, make_evaluation(seed=1)),
        key(model, make_evaluation(starts=(650, 700))),
        key(model, make_evaluation(servers=(2,))),
        key(model, make_evaluation(trace_seed=1)),
        make_jobs(make_evaluation(), [], ["random"])[0].key,
        make_jobs(make_evaluation(), [], ["random", "fgd"])[0].key,
    ]
    assert len(set(different)) == len(different)


def test_equal_models_share_one_job(evaluation: Evaluation, store: PartStore, tmp_path: Path) -> None:
    models = [write_model(tmp_path / "a"), write_model(tmp_path / "copy")]
    jobs, queue = make_jobs(evaluation, models, ["random"]), Queue(store)
    queue.run(jobs)
    assert len(queue.jobs) == 2
    assert list(collect(evaluation, jobs, store)["policy"].unique()) == [*models, "random"]


def test_models_that_cannot_play_are_refused_before_anything_is_submitted(
    evaluation: Evaluation, tmp_path: Path
) -> None:
    fixed = write_model(tmp_path / "mlp", kind="mlp")
    for models, message in (
        ([fixed], "made for another number of servers than 3"),
        (["first-fit"], "is a heuristic; name models here"),
        ([str(tmp_path / "absent")], "neither a heuristic"),
    ):
        with pytest.raises(UserError, match=message):
            make_jobs(evaluation, models, [])


def test_jobs_name_models_as_every_node_finds_them(
    evaluation: Evaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "mine")
    shipped = pretrained_names()[0]
    first, second = make_jobs(evaluation, ["mine", shipped], [])
    assert (first.name, first.policies) == ("mine", (str(tmp_path / "mine"),))
    assert (second.name, second.policies) == (shipped, (shipped,))


def test_options_for_jobs_mean_the_same_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPANE_RLLIB_DATA", raising=False)
    (tmp_path / "starts.txt").write_text("10\n20\n")
    given = ["--trace", "synthetic:vms=1000", "--servers", "3", "--starts", "starts.txt", "--node-cpu", "20"]

    def evaluation_of(words: list[str], problem: Problem = WAITS) -> tuple[Evaluation, list[str]]:
        parser = Parser()
        problem.add_arguments(parser)
        arguments = parser.parse_args(words)
        return problem.evaluation_of(arguments), problem.job_arguments(arguments)

    here, options = evaluation_of(given)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    there, _ = evaluation_of(options)
    [mine], [theirs] = make_jobs(here, [], ["sbf"]), make_jobs(there, [], ["sbf"])
    assert mine.key == theirs.key
    given = ["--trace", "synthetic:vms=1000", "--scenario", "fading"]
    allocations, options = evaluation_of(given, ALLOCATIONS)
    again, _ = evaluation_of(options, ALLOCATIONS)
    assert make_jobs(allocations, [], ["sbf"])[0].key == make_jobs(again, [], ["sbf"])[0].key
