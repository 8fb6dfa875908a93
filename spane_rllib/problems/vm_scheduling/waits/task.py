"""Waits as a task: a trace on a cluster, episodes from its rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spane_rllib.core.bootstrap import trimmed_mean
from spane_rllib.core.errors import UserError
from spane_rllib.problems.problem import Case, Part, Problem
from spane_rllib.problems.vm_scheduling.environments import CHOICE as CHOICE_ENVIRONMENT
from spane_rllib.problems.vm_scheduling.lifetimes import UNKNOWN
from spane_rllib.problems.vm_scheduling.networks.options import CHOICE
from spane_rllib.problems.vm_scheduling.policies import Policy, Rows
from spane_rllib.problems.vm_scheduling.queue_disciplines import FIFO, choices_of
from spane_rllib.problems.vm_scheduling.simulator import Cluster, EpisodeResults, probe_vm_counts
from spane_rllib.problems.vm_scheduling.simulator.cluster import NODES_PER_SERVER
from spane_rllib.problems.vm_scheduling.task import SlotEvaluation, SlotTask, starts_of
from spane_rllib.problems.vm_scheduling.waits.evaluation import evaluate_policy
from spane_rllib.problems.vm_scheduling.waits.instance import WaitInstance

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from spane_rllib.learning.run import Run


class WaitTask(SlotTask):
    """VMs wait until they are placed.

    Args:
        problem, instance: see `SlotTask`.
        environment: the only one that networks are to be built for; None: either.
    """

    instance: WaitInstance

    def __init__(self, problem: Problem, instance: WaitInstance, environment: str | None = None) -> None:
        super().__init__(problem, instance)
        self._only = environment

    @property
    def queue(self) -> str:
        return self.instance.discipline.text

    @property
    def known(self) -> dict[str, str]:
        """The queue discipline, and what is known of lifetimes."""
        return {"queue": self.queue, "lifetimes": self.instance.known_lifetimes.text}

    def _server_keywords(self) -> dict[str, Any]:
        return self.instance.cluster.keywords() | self.known

    def environment_of(self, network: str) -> tuple[str, dict[str, Any]]:
        if network != CHOICE:
            return self.environment
        _, keywords = self.environment
        choices = choices_of(keywords.pop("queue"))
        del keywords["lifetimes"]
        return CHOICE_ENVIRONMENT, keywords | {"choices": choices, "flat_actions": True}

    def build_network(self, kind: str, options: Mapping[str, Any], seed: int) -> nn.Module:
        if self._only and (kind == CHOICE) != (self._only == CHOICE_ENVIRONMENT):
            raise UserError(
                f"network {kind}: cannot learn on {self._only}; {CHOICE} is for {CHOICE_ENVIRONMENT}, and "
                "others are not"
            )
        if kind != CHOICE:
            return super().build_network(kind, options, seed)
        from spane_rllib.problems.vm_scheduling.networks.choice import build_choice

        choices_of(self.queue)  # checks it
        return build_choice(options, seed, NODES_PER_SERVER * self.instance.cluster.node_features)

    def begin_run(
        self, network: Any, settings: Any, validation: Any, seed: int, target: nn.Module | None = None
    ) -> Run:
        from spane_rllib.learning.begin import begin_run
        from spane_rllib.problems.vm_scheduling.networks.choice import ChoiceNetwork
        from spane_rllib.problems.vm_scheduling.waits.choice_rollouts import ChoiceRollouts
        from spane_rllib.problems.vm_scheduling.waits.rollouts import WaitRollouts

        instance = self.instance
        rollouts = (ChoiceRollouts if isinstance(network, ChoiceNetwork) else WaitRollouts)(
            instance.workload,
            instance.cluster,
            instance.split_rows.train,
            settings,
            self._validation_starts(validation),
            validation.trim,
        )
        return begin_run(network, settings, rollouts, validation.every, seed, target)

    def validate_baselines(self, names: Sequence[str], validation: Any) -> dict[str, float]:
        workload, cluster = self.instance.workload, self.instance.cluster
        starts = self._validation_starts(validation)
        lengths = probe_vm_counts(workload, cluster, starts)
        return {
            name: trimmed_mean(
                EpisodeResults.of_state(
                    *self.load_policy(name).play(workload, cluster, starts, lengths, validation.seed)
                ).total_wait,
                validation.trim,
            )
            for name in names
        }

    def evaluation(self, settings: Any) -> WaitEvaluation:
        sizes = settings.servers or (self.instance.cluster.servers,)
        source = f"the {settings.split} split"
        return WaitEvaluation(self, sizes, starts_of(self, settings), settings.seed, source)


class WaitEvaluation(SlotEvaluation):
    """Episodes in which VMs wait."""

    task: WaitTask

    @property
    def description(self) -> str:
        usual = {"queue": FIFO.text, "lifetimes": UNKNOWN.text}
        options = [f"; {name}: {text}" for name, text in self.task.known.items() if text != usual[name]]
        return super().description + "".join(options)

    def cluster_of(self, case: Case) -> Cluster:
        cluster = self.task.instance.cluster
        if cluster.groups and case != cluster.servers:
            raise UserError(f"servers: {case} is not allowed; the groups of servers say {cluster.servers}")
        return cluster if cluster.groups else replace(cluster, servers=int(case))

    def _identity(self, case: Case) -> dict[str, Any]:
        return {"cluster": self.cluster_of(case).keywords(), **self.task.known}

    def play(self, part: Part, first: int, last: int) -> pd.DataFrame:
        return evaluate_policy(
            part.policy,
            self.task.instance.workload,
            self.cluster_of(part.case),
            self.pairs[first:last],
            self.seed,
        )

    def _record(self, policies: Sequence[Policy], case: Case, starts: Rows, folder: Path) -> Iterator[Path]:
        from spane_rllib.problems.vm_scheduling.recordings.recorder import record_episodes

        workload, cluster = self.task.instance.workload, self.cluster_of(case)
        return record_episodes(policies, workload, cluster, starts, folder, self.seed)
