"""What the tasks of waits and of allocations share: a trace, servers, and slots to choose."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from spane_rllib.datasets.vm_traces.loading import describe_source
from spane_rllib.datasets.vm_traces.splits import (
    SPLIT_NAMES,
    read_starts,
    sample_starts,
    select_starts,
)
from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.problems.parts import array_digest, part_key
from spane_rllib.problems.problem import Case, Evaluation, Identity, Part, Problem, Task
from spane_rllib.problems.vm_scheduling.choice_policy import ChoicePolicy
from spane_rllib.problems.vm_scheduling.instance import SlotInstance
from spane_rllib.problems.vm_scheduling.networks.registry import build_network
from spane_rllib.problems.vm_scheduling.networks.weights import (
    ModelMetadata,
    Normalisation,
    TraceIdentity,
    save_model,
)
from spane_rllib.problems.vm_scheduling.policies import Policy, Rows, load_policy
from spane_rllib.problems.vm_scheduling.queue_disciplines import FIFO
from spane_rllib.problems.vm_scheduling.simulator import Cluster
from spane_rllib.problems.vm_scheduling.simulator.cluster import NODES_PER_SERVER

if TYPE_CHECKING:
    from torch import nn


class SlotTask(Task):
    """A task about an instance.

    Args:
        problem: whose task it is.
        instance: trace, servers and splits.
    """

    def __init__(self, problem: Problem, instance: SlotInstance) -> None:
        self.problem, self.instance = problem, instance
        trace = self.trace
        self.identity = Identity(
            trace.name,
            trace.sha256,
            len(trace),
            f"{trace.name}, {len(trace):,} VMs, content sha256 {trace.sha256}",
        )

    @property
    def queue(self) -> str:
        """The queue discipline, of problems where VMs wait."""
        return FIFO.text

    @property
    def trace(self) -> VmTrace:
        """The trace."""
        return self.instance.workload.trace

    @property
    def environment(self) -> tuple[str, dict[str, Any]]:
        splits = self.instance.split_rows
        keywords = {
            # A name for the trace that `shared` holds: workers need not find the file.
            "trace": f"content:{self.trace.sha256}",
            "splits": {name: list(splits.range_of(name)) for name in SPLIT_NAMES},
            **self._server_keywords(),
        }
        return next(iter(self.problem.environments)), keywords

    @abstractmethod
    def _server_keywords(self) -> dict[str, Any]:
        """The keywords of the environment that say what the servers are."""

    @property
    def shared(self) -> Mapping[str, Any]:
        return {f"content:{self.trace.sha256}": self.trace}

    def _validation_starts(self, validation: Any) -> Rows:
        splits = self.instance.split_rows
        return sample_starts(splits, "validation", validation.episodes, validation.seed)

    def build_network(self, kind: str, options: Mapping[str, Any], seed: int) -> nn.Module:
        cluster = self.instance.cluster
        features = NODES_PER_SERVER * cluster.node_features
        return build_network(kind, options, cluster.pairs, seed, features)

    def save_model(
        self,
        directory: str | Path,
        network: Any,
        *,
        seed: int,
        metrics: Mapping[str, float | None],
        training: Mapping[str, Any],
    ) -> None:
        cluster = self.instance.cluster
        threshold = cluster.double_memory_threshold
        save_model(
            directory,
            network,
            ModelMetadata(
                servers=cluster.servers,
                server_groups=cluster.keywords().get("server_groups"),
                queue=self.queue,
                normalisation=Normalisation(
                    node_cpu=cluster.node_cpu,
                    node_memory=cluster.node_memory,
                    double_memory_threshold=threshold if math.isfinite(threshold) else None,
                ),
                trace=TraceIdentity(name=self.trace.name, sha256=self.trace.sha256),
                seed=seed,
                metrics=dict(metrics),
                training=dict(training),
            ),
        )

    def load_policy(self, text: str, name: str | None = None) -> Policy:
        return load_policy(text, self.instance.split_rows.train[1], name)


class SlotEvaluation(Evaluation):
    """Episodes from given rows of the trace.

    Args:
        task: what is played.
        sizes: numbers of servers.
        starts: (E,) rows at which episodes begin.
        seed: of what draws random numbers.
        source: where the starts are from.
    """

    task: SlotTask

    def __init__(
        self, task: SlotTask, sizes: Sequence[Case], starts: Rows, seed: int, source: str = ""
    ) -> None:
        self.task, self.seed = task, seed
        self.chosen = f"starts from {source}; seed {seed}" if source else ""
        self.cases: tuple[Case, ...] = tuple(sizes)
        self.pairs: npt.NDArray[np.int64] = starts

    @abstractmethod
    def cluster_of(self, case: Case) -> Cluster:
        """The servers of a case, all there can be."""

    @abstractmethod
    def _identity(self, case: Case) -> dict[str, Any]:
        """What decides the episodes of a case beside trace, starts and seed, as JSON values."""

    def refusal(self, policy: Policy, case: Case) -> str:
        cluster = self.cluster_of(case)
        queue = getattr(policy, "queue", self.task.queue)
        if queue != self.task.queue:
            return f"chooses whom to place under queue {queue} alone, and queue is {self.task.queue} here"
        if not policy.accepts(cluster.pairs):
            return f"was made for another number of servers than {cluster.servers}"
        # None of policies that are no networks of ours.
        features = getattr(policy, "server_features", None)
        if features in (None, NODES_PER_SERVER * cluster.node_features):
            return ""
        return f"was trained on {'equal servers' if cluster.shows_sizes else 'servers that differ'}"

    def part(self, policy: Policy, case: Case) -> Part:
        key = part_key(
            type(self).__module__,
            problem=self.task.problem.name,
            policy=policy.identity,
            trace=self.task.trace.sha256,
            starts=array_digest(self.pairs),
            seed=self.seed,
            **self._identity(case),
        )
        return Part(policy, case, key)

    @property
    def description(self) -> str:
        return f"trace: {describe_source(self.task.trace)}"

    def record(self, policies: Sequence[Policy], folder: Path, most: int) -> Iterator[Path]:
        for case in self.cases:
            yield from self._record(policies, case, self.pairs[:most], folder)

    def record_pairs(self, policy: Any, case: Case, pairs: Sequence[int], folder: Path) -> Sequence[Path]:
        if isinstance(policy, ChoicePolicy):
            return ()
        return list(self._record([policy], case, np.array(pairs, np.int64), folder))

    @abstractmethod
    def _record(
        self, policies: Sequence[Policy], case: Case, starts: Rows, folder: Path
    ) -> Iterator[Path]: ...


def starts_of(task: SlotTask, settings: Any, file: str | None = None) -> Rows:
    """The rows that `settings`, of an evaluation, draw, or those in `file`; checked."""
    if file is not None:
        starts = read_starts(file, len(task.trace))
    else:
        starts = select_starts(task.instance.split_rows, settings.split, settings.episodes, settings.seed)
    task.instance.workload.check_starts(starts)
    return starts
