"""Allocations as a task: a trace on the servers of a scenario, episodes from its rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spane_rllib.problems.problem import Case, Part, Problem
from spane_rllib.problems.vm_scheduling.allocations.evaluation import evaluate_policy
from spane_rllib.problems.vm_scheduling.allocations.instance import AllocationInstance
from spane_rllib.problems.vm_scheduling.allocations.scenario import AllocationScenario
from spane_rllib.problems.vm_scheduling.allocations.workload import AllocationWorkload, compile_allocations
from spane_rllib.problems.vm_scheduling.policies import Policy, Rows
from spane_rllib.problems.vm_scheduling.simulator import Cluster
from spane_rllib.problems.vm_scheduling.task import SlotEvaluation, SlotTask, starts_of

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from spane_rllib.learning.run import Run


class AllocationTask(SlotTask):
    """VMs are placed until the first that fits nowhere."""

    instance: AllocationInstance

    def __init__(self, problem: Problem, instance: AllocationInstance) -> None:
        super().__init__(problem, instance)
        # A scenario comes from a file, too, which may have changed when an experiment goes on.
        trace, scenario = self.identity, instance.settings
        text = f"{trace.sha256} {scenario.model_dump_json()}"
        self.identity = replace(
            trace,
            name=f"{trace.name} with scenario {scenario.name}",
            sha256=hashlib.sha256(text.encode()).hexdigest(),
        )

    def _server_keywords(self) -> dict[str, Any]:
        return {"scenario": self.instance.settings.model_dump(mode="json", exclude_unset=True)}

    def begin_run(
        self, network: Any, settings: Any, validation: Any, seed: int, target: nn.Module | None = None
    ) -> Run:
        from spane_rllib.learning.begin import begin_run
        from spane_rllib.problems.vm_scheduling.allocations.rollouts import AllocationRollouts

        rollouts = AllocationRollouts(
            self.instance.workload,
            self.instance.split_rows.train,
            settings,
            self._validation_starts(validation),
        )
        return begin_run(network, settings, rollouts, validation.every, seed, target)

    def validate_baselines(self, names: Sequence[str], validation: Any) -> dict[str, float]:
        starts = self._validation_starts(validation)
        episodes = {
            name: evaluate_policy(self.load_policy(name), self.instance.workload, starts, validation.seed)
            for name in names
        }
        return {name: float(played["allocations"].mean()) for name, played in episodes.items()}

    def evaluation(self, settings: Any) -> AllocationEvaluation:
        source = f"the {settings.split} split"
        return AllocationEvaluation(self, settings.servers, starts_of(self, settings), settings.seed, source)


class AllocationEvaluation(SlotEvaluation):
    """Episodes of a scenario; None for the sizes is the size of the scenario."""

    task: AllocationTask

    def __init__(
        self, task: AllocationTask, sizes: Sequence[int] | None, starts: Rows, seed: int, source: str = ""
    ) -> None:
        scenario = task.instance.settings
        played = [scenario.with_servers(size) for size in sizes or ()] or [scenario]
        self._scenarios: dict[Case, AllocationScenario] = {one.initial_servers: one for one in played}
        super().__init__(task, tuple(self._scenarios), starts, seed, source)

    def scenario_of(self, case: Case) -> AllocationScenario:
        """The scenario with so many servers at the start."""
        return self._scenarios[case]

    def _workload_of(self, case: Case) -> AllocationWorkload:
        return compile_allocations(self.task.trace, self.scenario_of(case))

    def cluster_of(self, case: Case) -> Cluster:
        return self._workload_of(case).cluster

    def _identity(self, case: Case) -> dict[str, Any]:
        return {"scenario": self.scenario_of(case).model_dump(mode="json")}

    def play(self, part: Part, first: int, last: int) -> pd.DataFrame:
        workload = self._workload_of(part.case)
        return evaluate_policy(part.policy, workload, self.pairs[first:last], self.seed)

    def _record(self, policies: Sequence[Policy], case: Case, starts: Rows, folder: Path) -> Iterator[Path]:
        from spane_rllib.problems.vm_scheduling.allocations.recording import record_allocations

        return record_allocations(policies, self._workload_of(case), starts, folder, self.seed)
