"""`python -m spane_rllib.plan --problem pod_migration`: which pods to move in a cluster, once."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from spane_rllib.core.console import format_table, whole_number
from spane_rllib.core.errors import UserError
from spane_rllib.core.files import write_text
from spane_rllib.problems.planning import Planning
from spane_rllib.problems.pod_migration.arguments import add_settings, settings_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spane_rllib.problems.pod_migration.clusters.cluster import PodCluster
    from spane_rllib.problems.pod_migration.planners.planner import Move
    from spane_rllib.problems.pod_migration.simulator.episode import Episode

_NEEDS_DEMAND = ("foresight", "forecast-seasonal")


class PodPlanning(Planning):
    """Moves for what a cluster is asked for now."""

    description = (
        "Propose moves of pods for one window. Nothing is carried out: Kubernetes does not move pods, so "
        "each would be evicted and come back on the node that is named."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "cluster",
            metavar="CLUSTER",
            help="what `kubectl get nodes,pods -A -o json` prints, a YAML file, or a preset",
        )
        parser.add_argument(
            "--usage",
            metavar="FILE",
            help="what `kubectl top pods -A --no-headers` prints: use counts instead of requests",
        )
        parser.add_argument(
            "--policy",
            default="forecast-mean",
            metavar="POLICY",
            help="a baseline, the directory of a trained model, or module:Class (forecast-mean: the integer "
            "program for what pods ask for now)",
        )
        parser.add_argument(
            "--seed", type=whole_number(0, 2**32 - 1), default=0, metavar="S", help="seed of `random` (0)"
        )
        parser.add_argument(
            "--form",
            choices=("table", "yaml"),
            default="table",
            help="a table as kubectl prints it, or Eviction objects as YAML (table)",
        )
        parser.add_argument("--output", metavar="FILE", help="file for the plan, beside the terminal")
        add_settings(parser, ("moves", "max_pods_per_node", "allocation", "overload", "underload", "weights"))

    def plan(self, arguments: argparse.Namespace) -> str:
        import numpy as np

        from spane_rllib.problems.pod_migration.clusters.usage import read_usage
        from spane_rllib.problems.pod_migration.instance import PodInstance
        from spane_rllib.problems.pod_migration.policies import load_policy
        from spane_rllib.problems.pod_migration.simulator.episode import Episode

        if arguments.policy in _NEEDS_DEMAND:
            raise UserError(f"policy {arguments.policy}: needs a trace; use evaluate, or another policy")
        instance = PodInstance(settings_of(arguments))
        policy, cluster = load_policy(arguments.policy, instance), instance.cluster
        episode = Episode(instance)
        if arguments.usage is not None:
            episode.assume(read_usage(arguments.usage, cluster) - cluster.requests)
        moves = policy.begin(np.random.default_rng(arguments.seed))(episode)
        text = _yaml(moves, cluster) if arguments.form == "yaml" else _table(moves, episode)
        if arguments.output is not None:
            write_text(arguments.output, text + "\n")
        return text


def _named(pod: str) -> tuple[str, str]:
    """Namespace and name."""
    namespace, _, name = pod.rpartition("/")
    return namespace or "default", name


def _table(moves: Sequence[Move], episode: Episode) -> str:
    """The moves, and what they do to the loads."""
    from spane_rllib.problems.pod_migration.planners.planner import Draft

    cluster, draft = episode.instance.cluster, Draft(episode)
    before = draft.load.max()
    rows = []
    for pod, node in moves:
        names = (cluster.node_names[episode.placement[pod]], cluster.node_names[node])
        cpu, memory = draft.sizes[pod]
        rows.append((*_named(cluster.pod_names[pod]), *names, f"{cpu:g}", f"{memory:g}"))
        draft.move(pod, node)
    peaks = f"highest load of a node: {before:.0%} before, {draft.load.max():.0%} after"
    if not rows:
        return f"No move is proposed; highest load of a node: {before:.0%}."
    return format_table(("NAMESPACE", "POD", "FROM", "TO", "CPU", "MEMORY"), rows) + f"\n{peaks}"


def _yaml(moves: Sequence[Move], cluster: PodCluster) -> str:
    """A list of evictions, whose annotations say where the pods are meant to go."""
    import yaml

    items = []
    for pod, node in moves:
        namespace, name = _named(cluster.pod_names[pod])
        metadata = {
            "name": name,
            "namespace": namespace,
            "annotations": {"spane-rllib/target-node": cluster.node_names[node]},
        }
        items.append({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata})
    return yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": items}, sort_keys=False).rstrip()
