"""Direct policy search as a job: every generation is written down, so that an interruption loses none."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field, Strict, TypeAdapter, ValidationError

from spane_rllib.core.console import Progress
from spane_rllib.core.errors import UserError
from spane_rllib.core.files import check_writable, replacing, write_text
from spane_rllib.core.settings import Settings, user_error
from spane_rllib.experiments.inputs import configured_splits, configured_trace
from spane_rllib.experiments.policy_search.config import SearchConfig
from spane_rllib.experiments.results.folder import ResultsFolder
from spane_rllib.experiments.results.identity import TraceRecord, read_trace_record
from spane_rllib.problems.vm_scheduling.networks.score import ScoreWeights
from spane_rllib.problems.vm_scheduling.networks.weights import (
    ModelMetadata,
    Normalisation,
    TraceIdentity,
    save_model,
)
from spane_rllib.problems.vm_scheduling.score_search.search import (
    REFERENCE,
    ScoreFamily,
    ScoreSearch,
    Windows,
    draw_windows,
    relative_cost,
    waits_of,
)
from spane_rllib.problems.vm_scheduling.simulator import Cluster, Heuristic, PlacementScore, compile_workload
from spane_rllib.problems.vm_scheduling.traces.loading import describe_source
from spane_rllib.problems.vm_scheduling.traces.splits import Splits
from spane_rllib.problems.vm_scheduling.traces.trace import VmTrace

METHOD = "score"
Judge = Callable[[Sequence[PlacementScore], Windows], list[float]]
"""The costs of candidates on windows."""


class _Generation(Settings):
    """A line of `searches/<trial>.jsonl`."""

    generation: int = Field(ge=1)
    costs: Annotated[tuple[float, ...], Strict(False)]
    validation: float | None


_LINE = TypeAdapter(_Generation)


@dataclass
class _Search:
    """One search and what it has written down."""

    trial: str
    seed: int
    file: Path
    history: list[_Generation]

    @property
    def best(self) -> _Generation | None:
        """The generation of the least validation cost so far."""
        validated = [line for line in self.history if line.validation is not None]
        return min(validated, key=lambda line: line.validation or 0.0, default=None)


def run_search(config: SearchConfig, folder: ResultsFolder, resume: bool) -> None:
    """Run (or, with `resume`, continue) all searches in `folder`, then write their models and tables.

    Raises:
        UserError: bad input; nothing has been written then.
    """
    trace = configured_trace(config.trace, config.cluster)
    splits = configured_splits(config.splits, trace)
    cluster = Cluster(**config.cluster.model_dump())
    compile_workload(trace, cluster)  # complains about VMs that no server can hold
    searches = _searches(config, folder)
    if resume:
        check_writable(folder.path)
        if read_trace_record(folder).sha256 != trace.sha256:
            raise UserError(f"{folder.path} was made on another trace than {trace.name}; give it that one")
    else:
        folder.create(config)
        record = TraceRecord(name=trace.name, sha256=trace.sha256, vms=len(trace))
        write_text(folder.trace_file, record.model_dump_json(indent=2))
    print(f"search {config.name} in {folder.path}: {config.seeds} seeds on {describe_source(trace)}")
    with _judging(config, trace, cluster) as judge:
        for search in searches:
            best = _run(config, search, trace, splits, cluster, judge)
            _save(config, folder, search, best, trace, cluster)
            _write_tables(folder, searches)


def _searches(config: SearchConfig, folder: ResultsFolder) -> list[_Search]:
    seeds = np.random.default_rng(config.seed).integers(2**31, size=config.seeds)
    searches = []
    for index, seed in enumerate(map(int, seeds)):
        trial = f"{METHOD}-{index:04d}"
        file = folder.path / "searches" / f"{trial}.jsonl"
        searches.append(_Search(trial, seed, file, _read_history(file, config.population)))
    return searches


def _read_history(file: Path, population: int) -> list[_Generation]:
    """Generations in `file`, without a last line that was cut short."""
    if not file.exists():
        return []
    *lines, _ = file.read_bytes().split(b"\n")
    try:
        history = [_LINE.validate_json(line) for line in lines]
    except ValidationError as error:
        raise UserError(
            f"{user_error(error, str(file))}; delete it, --resume begins this search again"
        ) from error
    for number, line in enumerate(history, start=1):
        if line.generation != number or len(line.costs) != population:
            raise UserError(f"{file}: line {number} is not generation {number}; delete it to begin again")
    return history


def _run(
    config: SearchConfig, search: _Search, trace: VmTrace, splits: Splits, cluster: Cluster, judge: Judge
) -> PlacementScore:
    """Bring `search` to its last generation; returns the score of the least validation cost."""
    family = ScoreFamily.of_trace(trace, splits.train, cluster)
    cma = ScoreSearch(family, config.population, config.step, search.seed)
    starts, done = np.random.default_rng(search.seed), search.history[:]
    windows, validation = config.windows, config.validation
    unseen = draw_windows(
        np.random.default_rng(validation.seed),
        splits.validation,
        config.counts(validation.episodes, validation.other_episodes),
        config.shares,
    )
    best, best_cost = cma.centre, math.inf
    progress = Progress(search.trial, config.generations, "generations")
    for generation in range(1, config.generations + 1):
        candidates = cma.ask()
        drawn = draw_windows(
            starts, splits.train, config.counts(windows.episodes, windows.other_episodes), config.shares
        )
        if generation <= len(done):
            line = done[generation - 1]
            cma.tell(line.costs)
        else:
            costs = judge(candidates, drawn)
            cma.tell(costs)
            due = generation % validation.every == 0 or generation == config.generations
            cost = judge([_rounded(cma.centre)], unseen)[0] if due else None
            line = _Generation(generation=generation, costs=tuple(costs), validation=cost)
            _append(search, line)
        if line.validation is not None and line.validation < best_cost:
            best, best_cost = _rounded(cma.centre), line.validation
        note = f"cost {np.mean(line.costs):.4f} in training, {best_cost:.4f} at best in validation"
        progress.update(generation, f"{note} ({REFERENCE} = 1)")
    return best


def _rounded(score: PlacementScore) -> PlacementScore:
    """`score` as it will be stored."""
    return ScoreWeights.of_score(score).score()


def _append(search: _Search, line: _Generation) -> None:
    search.history.append(line)
    text = "".join(one.model_dump_json() + "\n" for one in search.history)
    write_text(search.file, text)


@contextmanager
def _judging(config: SearchConfig, trace: VmTrace, cluster: Cluster) -> Iterator[Judge]:
    """What judges candidates: this process, or Ray tasks that divide them, with the same costs."""
    if config.workers == 0:
        yield lambda scores, windows: judge_scores(scores, windows, trace, cluster)
        return
    import ray

    from spane_rllib.cluster.session import ray_session

    with nullcontext() if ray.is_initialized() else ray_session(num_cpus=config.workers):
        task = ray.remote(num_cpus=1, max_retries=3)(judge_scores)
        shared = ray.put(trace)

        def judge(scores: Sequence[PlacementScore], windows: Windows) -> list[float]:
            step = min(config.workers, len(scores))
            pending = [task.remote(scores[worker::step], windows, shared, cluster) for worker in range(step)]
            costs = [0.0] * len(scores)
            for worker, found in enumerate(ray.get(pending)):
                costs[worker::step] = found
            return costs

        yield judge


def judge_scores(
    scores: Sequence[PlacementScore], windows: Windows, trace: VmTrace, cluster: Cluster
) -> list[float]:
    """The costs of `scores` on `windows`, in their order."""
    reference = waits_of(Heuristic(REFERENCE), trace, cluster, windows)
    return [
        relative_cost(waits_of(Heuristic("fgd", score), trace, cluster, windows), reference, windows.shares)
        for score in scores
    ]


def _save(
    config: SearchConfig,
    folder: ResultsFolder,
    search: _Search,
    score: PlacementScore,
    trace: VmTrace,
    cluster: Cluster,
) -> None:
    best = search.best
    settings = config.model_dump(mode="json", include={"generations", "population", "step", "windows"})
    save_model(
        folder.models / METHOD / search.trial,
        ScoreWeights.of_score(score),
        ModelMetadata(
            servers=cluster.servers,
            normalisation=Normalisation(
                node_cpu=cluster.node_cpu,
                node_memory=cluster.node_memory,
                double_memory_threshold=cluster.double_memory_threshold,
            ),
            trace=TraceIdentity(name=trace.name, sha256=trace.sha256),
            seed=search.seed,
            metrics={
                "generation": best.generation if best else None,
                "validation_cost": best.validation if best else None,
            },
            training=settings,
        ),
    )


def _write_tables(folder: ResultsFolder, searches: Sequence[_Search]) -> None:
    """`trials.csv`, as of the main job, and `curves.csv`, a row per generation."""
    trials, curves = [], []
    for search in searches:
        best = search.best
        if best is None:
            continue
        trials.append(
            {
                "method": METHOD,
                "trial": search.trial,
                "seed": search.seed,
                "status": "TERMINATED",
                "generations": len(search.history),
                "best_validation_cost": best.validation,
                "best_generation": best.generation,
                "model": f"models/{METHOD}/{search.trial}",
            }
        )
        curves += [
            {
                "trial": search.trial,
                "generation": line.generation,
                "cost": float(np.mean(line.costs)),
                "validation_cost": line.validation,
            }
            for line in search.history
        ]
    table = pd.DataFrame(trials)
    table["rank"] = table["best_validation_cost"].rank(method="first")
    for name, frame in (("trials.csv", table), ("curves.csv", pd.DataFrame(curves))):
        with replacing(folder.path / name) as temporary:
            frame.to_csv(temporary, index=False)
