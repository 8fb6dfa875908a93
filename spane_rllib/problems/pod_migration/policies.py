"""Who plays: planners by name, networks, and policies of one's own."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from spane_rllib.core.errors import UserError
from spane_rllib.core.plugins import is_plugin
from spane_rllib.core.words import near_miss
from spane_rllib.learning.batch import MASK
from spane_rllib.learning.models import model_identity
from spane_rllib.learning.networks import greedy_actions
from spane_rllib.problems.acting import ActingPolicy, checked_action, load_acting_policy
from spane_rllib.problems.pod_migration.environments.observation import observe
from spane_rllib.problems.pod_migration.instance import PodInstance
from spane_rllib.problems.pod_migration.networks.building import load_network
from spane_rllib.problems.pod_migration.planners.planner import Move, Planner
from spane_rllib.problems.pod_migration.planners.registry import PLANNERS
from spane_rllib.problems.pod_migration.simulator.episode import Episode

Decide = Callable[[Mapping[str, Any]], Any]


@dataclass(frozen=True)
class PodPolicy:
    """Who plays.

    Args:
        name: what tables call it.
        identity: what decides its moves.
        begin: the planner of an episode, from the random numbers of that episode.
    """

    name: str
    identity: str
    begin: Callable[[np.random.Generator], Planner]


def load_policy(text: str, instance: PodInstance, name: str | None = None) -> PodPolicy:
    """The policy that `text` means; see `Task.load_policy`.

    Args:
        text: as people write it; `POLICY#K` makes at most K moves in an episode.
        instance: what is played.
        name: in tables; None for `text`.

    Raises:
        UserError: it is none, or damaged.
    """
    called = name or text.rstrip("/")
    limited = re.fullmatch(r"(.+)#([0-9]{1,9})", text)
    if limited and not Path(text).exists():
        policy, most = load_policy(limited[1], instance), int(limited[2])
        return PodPolicy(called, f"{policy.identity}#{most}", partial(_limited_planner, policy.begin, most))
    if text in PLANNERS:
        return PodPolicy(called, text, PLANNERS[text])
    if text and Path(text).exists():
        network = load_network(text, instance)
        return PodPolicy(called, model_identity(text, network), partial(_network_planner, network))
    if is_plugin(text):
        own = load_acting_policy(text)
        return PodPolicy(called, own.identity, partial(_own_planner, own.make, called))
    raise UserError(
        f"policy {text!r}: neither a baseline ({', '.join(PLANNERS)}), nor the directory of a saved "
        f"model, nor module:Class{near_miss(text, PLANNERS)}"
    )


def _limited_planner(
    begin: Callable[[np.random.Generator], Planner], most: int, random: np.random.Generator
) -> Planner:
    planner = begin(random)

    def plan(episode: Episode) -> Sequence[Move]:
        return planner(episode)[: most - episode.spent] if episode.spent < most else ()

    return plan


def _network_planner(network: nn.Module, random: np.random.Generator) -> Planner:
    def decide(observation: Mapping[str, Any]) -> int:
        # One decision at a time: sums over several would depend on what is played together.
        return int(greedy_actions(network, {key: each[None] for key, each in observation.items()})[0])

    return partial(_decided_moves, decide)


def _own_planner(make: Callable[[], ActingPolicy], name: str, random: np.random.Generator) -> Planner:
    act = make().act

    def decide(observation: Mapping[str, Any]) -> int:
        return checked_action(act(observation), observation[MASK], name)

    return partial(_decided_moves, decide)


def _decided_moves(decide: Decide, episode: Episode) -> Sequence[Move]:
    """The moves of who decides one after the other, as in `PodMigrationEnv`."""
    draft, nodes = episode.draft(), episode.instance.cluster.nodes
    moves: list[Move] = []
    while draft.moves_left:
        action = decide(observe(draft))
        if action == nodes * len(draft.placement):
            break
        pod, node = divmod(action, nodes)
        draft.move(pod, node)
        moves.append((pod, node))
    return moves
