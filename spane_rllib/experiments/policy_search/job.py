"""Direct policy search as a job: every generation is written down, so that an interruption loses none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import Field, Strict, TypeAdapter, ValidationError

from spane_rllib.core.console import Progress
from spane_rllib.core.errors import UserError
from spane_rllib.core.files import check_writable, write_text
from spane_rllib.core.lock import locked
from spane_rllib.core.reading import MAX_TABLE, read_bytes
from spane_rllib.core.settings import Settings, user_error
from spane_rllib.experiments.policy_search.config import SearchConfig
from spane_rllib.experiments.results.folder import ResultsFolder
from spane_rllib.experiments.results.identity import check_identity, record_identity
from spane_rllib.experiments.results.tables import write_tables
from spane_rllib.problems.search import SearchTask

Judge = Callable[[Sequence[Any], Any], list[float]]
"""The costs of candidates on episodes."""


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
    task = config.about.load(config)
    search_task = config.method.load(task, config)
    with locked(folder.path):
        searches = _searches(config, folder)
        if resume:
            check_writable(folder.path)
            check_identity(folder, config, task.identity)
        else:
            folder.create(config)
        record_identity(folder, config, task.identity)
        print(f"search {config.name} in {folder.path}: {config.seeds} seeds; {task.identity.short}")
        with _judging(config.workers, search_task) as judge:
            for search in searches:
                best = _run(config, search, search_task, judge)
                _save(config, folder, search, search_task, best)
                _write_tables(config, folder, searches)


def _searches(config: SearchConfig, folder: ResultsFolder) -> list[_Search]:
    seeds = np.random.default_rng(config.seed).integers(2**31, size=config.seeds)
    searches = []
    for index, seed in enumerate(map(int, seeds)):
        trial = f"{config.search}-{index:04d}"
        file = folder.path / "searches" / f"{trial}.jsonl"
        searches.append(_Search(trial, seed, file, _read_history(file, config.population)))
    return searches


def _read_history(file: Path, population: int) -> list[_Generation]:
    """Generations in `file`, without a last line that was cut short."""
    if not file.exists():
        return []
    *lines, _ = read_bytes(file, MAX_TABLE, "a search").split(b"\n")
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


def _run(config: SearchConfig, search: _Search, task: SearchTask, judge: Judge) -> Any:
    """Bring `search` to its last generation; returns the candidate of the least validation cost."""
    asking = task.begin(search.seed)
    generator, done = np.random.default_rng(search.seed), search.history[:]
    best, best_cost = asking.centre, np.inf
    progress = Progress(search.trial, config.generations, "generations")
    for generation in range(1, config.generations + 1):
        candidates = asking.ask()
        drawn = task.draw(generator)
        if generation <= len(done):
            line = done[generation - 1]
            asking.tell(line.costs)
        else:
            costs = judge(candidates, drawn)
            asking.tell(costs)
            due = generation % config.validation.every == 0 or generation == config.generations
            cost = judge([asking.centre], task.unseen)[0] if due else None
            line = _Generation(generation=generation, costs=tuple(costs), validation=cost)
            _append(search, line)
        if line.validation is not None and line.validation < best_cost:
            best, best_cost = asking.centre, line.validation
        note = f"cost {np.mean(line.costs):.4f} in training, {best_cost:.4f} at best in validation"
        progress.update(generation, f"{note} ({task.unit})" if task.unit else note)
    return best


def _append(search: _Search, line: _Generation) -> None:
    search.history.append(line)
    text = "".join(one.model_dump_json() + "\n" for one in search.history)
    write_text(search.file, text)


@contextmanager
def _judging(workers: int, task: SearchTask) -> Iterator[Judge]:
    """What judges candidates: this process, or Ray tasks that divide them, with the same costs."""
    if workers == 0:
        yield task.judge
        return
    import ray

    from spane_rllib.cluster.session import ray_session

    with ray_session(num_cpus=workers):
        remote = ray.remote(num_cpus=1, max_retries=3)(_judge)
        shared = ray.put(task)

        def judge(candidates: Sequence[Any], episodes: Any) -> list[float]:
            step = min(workers, len(candidates))
            pending = [remote.remote(shared, candidates[worker::step], episodes) for worker in range(step)]
            costs = [0.0] * len(candidates)
            for worker, found in enumerate(ray.get(pending)):
                costs[worker::step] = found
            return costs

        yield judge


def _judge(task: SearchTask, candidates: Sequence[Any], episodes: Any) -> list[float]:
    return task.judge(candidates, episodes)


def _save(config: SearchConfig, folder: ResultsFolder, search: _Search, task: SearchTask, best: Any) -> None:
    kept = search.best
    task.save(
        folder.models / config.search / search.trial,
        best,
        seed=search.seed,
        metrics={
            "generation": kept.generation if kept else None,
            "validation_cost": kept.validation if kept else None,
        },
    )


def _write_tables(config: SearchConfig, folder: ResultsFolder, searches: Sequence[_Search]) -> None:
    """`trials.csv`, as of the main job, and `curves.csv`, a row per generation."""
    trials, curves = [], []
    for search in searches:
        best = search.best
        if best is None:
            continue
        trials.append(
            {
                "method": config.search,
                "trial": search.trial,
                "seed": search.seed,
                "status": "TERMINATED",
                "generations": len(search.history),
                "best_validation_cost": best.validation,
                "best_generation": best.generation,
                "model": f"models/{config.search}/{search.trial}",
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
    write_tables(folder.path, {"trials": table, "curves": pd.DataFrame(curves)})
