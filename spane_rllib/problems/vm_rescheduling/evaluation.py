"""Planners on the same mappings, each with a limit of migrations and of time."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from spane_rllib.core.errors import UserError
from spane_rllib.problems.parts import array_digest, part_key
from spane_rllib.problems.problem import Case, Evaluation, Part
from spane_rllib.problems.vm_rescheduling.plan_files import decode, encode, indexed_document
from spane_rllib.problems.vm_rescheduling.planners.clock import Clock
from spane_rllib.problems.vm_rescheduling.planners.exchange import Exchange
from spane_rllib.problems.vm_rescheduling.planners.planner import Request
from spane_rllib.problems.vm_rescheduling.policies import ReschedulePolicy, warm_up
from spane_rllib.problems.vm_rescheduling.viewing.recorder import record_plan

if TYPE_CHECKING:
    import pandas as pd

    from spane_rllib.problems.vm_rescheduling.task import RescheduleTask

_BOUND_SECONDS = 60.0


class RescheduleEvaluation(Evaluation):
    """Plans for given mappings.

    Args:
        task: whose mappings.
        cases: limits of migrations.
        pairs: (E,) numbers of mappings.
        seconds: time of a plan.
        seed: of what planners draw.
        chosen: how the mappings were chosen.
    """

    task: RescheduleTask

    def __init__(
        self,
        task: RescheduleTask,
        cases: Sequence[int],
        pairs: npt.NDArray[np.int64],
        seconds: float,
        seed: int,
        chosen: str,
    ) -> None:
        self.task, self.cases, self.pairs, self.chosen = task, tuple(cases), pairs, chosen
        self._seconds, self._seed = seconds, seed
        self._bounds: dict[tuple[int, int], float] = {}

    @property
    def description(self) -> str:
        return f"{self.task.identity.description}; {self.chosen}; {self._seconds:g} s for a plan"

    def part(self, policy: ReschedulePolicy, case: Case) -> Part:
        key = part_key(
            __name__,
            "spane_rllib.problems.vm_rescheduling.planners.names",
            *_PLANNER_MODULES,
            policy=policy.identity,
            mappings=self.task.mappings.sha256,
            objective=self.task.instance.objective,
            pairs=array_digest(self.pairs),
            case=case,
            seconds=self._seconds,
            seed=self._seed,
        )
        return Part(policy, case, key)

    def play(self, part: Part, first: int, last: int) -> pd.DataFrame:
        # The plans of anytime planners depend on how fast the machine is; all else is decided by the part.
        import pandas as pd

        objective = self.task.instance.objective
        if part.policy.identity in self.task.problem.baselines:
            warm_up(part.policy.identity, objective)
        plan = part.policy.make()
        rows = []
        for number in self.pairs[first:last].tolist():
            mapping = self.task.mappings[number]
            begun = time.monotonic()
            request = Request(mapping, int(part.case), self._seconds, objective, seed=self._seed)
            answer = plan(request)
            seconds = time.monotonic() - begun
            simulation = request.simulation()
            before = simulation.value
            try:
                simulation.check(answer.plan)
            except UserError as error:
                raise UserError(f"policy {part.policy.name}: {mapping.name}: {error}") from error
            if len(answer.plan) > request.migrations:
                raise UserError(f"policy {part.policy.name}: {mapping.name}: more migrations than allowed")
            for move in answer.plan.tolist():
                simulation.migrate(*move)
            bound = max(answer.lower_bound, self._bound(number, request))
            rows.append(
                (
                    part.policy.name,
                    number,
                    mapping.name,
                    part.case,
                    len(answer.plan),
                    before,
                    simulation.value,
                    min(bound, simulation.value),
                    seconds,
                    encode(answer.plan),
                )
            )
        return pd.DataFrame(rows, columns=list(self.task.problem.episode_columns))

    def _bound(self, number: int, request: Request) -> float:
        """A lower bound on the objective after any plan; 0 where memory is part of it."""
        key = number, request.migrations
        if key not in self._bounds:
            simulation = request.simulation()
            bound = 0.0
            if simulation.objective.memory_weight == 0:
                exchange = Exchange(simulation.state, simulation.objective)
                exchange.relax(request.migrations, Clock(_BOUND_SECONDS))
                bound = simulation.objective.value(exchange.cost_bound)
            self._bounds[key] = bound
        return self._bounds[key]

    def record(self, policies: Sequence[Any], folder: Path, most: int) -> Iterator[Path]:
        for case in self.cases:
            for policy in policies:
                for number in self.pairs[:most].tolist():
                    mapping = self.task.mappings[number]
                    objective = self.task.instance.objective
                    request = Request(mapping, int(case), self._seconds, objective, seed=self._seed)
                    name = f"{_file_name(policy.name)}-{_file_name(mapping.name)}-{case}.json"
                    yield record_plan(request, policy.plan(request).plan, policy.name, folder / name)

    def results(
        self, episodes: pd.DataFrame, summary: pd.DataFrame
    ) -> Iterator[tuple[str, pd.DataFrame | str]]:
        columns = [name for name in self.task.problem.episode_columns if name not in ("map", "moves")]
        yield "plans.csv", episodes[columns]
        yield "summary.csv", summary
        for row in episodes.itertuples():
            mapping = self.task.mappings[int(row.map)]
            name = f"plans/{_file_name(row.policy)}/{_file_name(row.mapping)}-{row.migration_limit}.json"
            yield name, indexed_document(mapping, decode(str(row.moves)))


def _file_name(text: Any) -> str:
    """`text` as the name of a file: a policy may be the path of a model."""
    return re.sub(r"[^A-Za-z0-9._@-]+", "_", str(text)).strip("_.") or "_"


_PLANNER_MODULES = tuple(
    f"spane_rllib.problems.vm_rescheduling.planners.{name}"
    for name in ("search", "heuristics", "beam", "balcon", "mcts", "mip")
)
