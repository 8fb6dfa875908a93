"""Policies that decide step by step: trained networks, and ones of the user's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from spane_rllib.learning.networks import greedy_actions
from spane_rllib.problems.acting import Acting, checked_action, load_acting_policy
from spane_rllib.problems.gpu_jobs.policies import Rules
from spane_rllib.problems.gpu_jobs.session import Session
from spane_rllib.problems.gpu_jobs.simulator.cluster import Cluster
from spane_rllib.problems.gpu_jobs.simulator.jobs import Jobs
from spane_rllib.problems.gpu_jobs.simulator.published import TOP
from spane_rllib.problems.gpu_jobs.simulator.schedule import Schedule

Decide = Callable[[Mapping[str, Any]], int]


def play_session(session: Session, decide: Decide) -> Schedule:
    """Let `decide` choose every action to the end."""
    idle = False
    while not session.over:
        observation = session.observation
        mask = observation["action_mask"]
        # Under the published rules most ticks have nothing to start.
        idle = session.rules.published and not mask[:-1].any()
        session.step(session.slots if idle else decide(observation))
    return session.schedule()


@dataclass(frozen=True)
class TrainedPolicy:
    """A network.

    Args:
        name: what tables call it.
        identity: digest of its model.
        network: in evaluation mode.
        slots, order: what it was trained to see; see `settings.WindowSettings`.
        rules: `published` where it sees what the reference sees, else "".
    """

    name: str
    identity: str
    network: Any
    slots: int
    order: str
    rules: str = ""

    def refusal(self, rules: Rules) -> str:
        if self.rules and not rules.published:
            return "sees what the reference sees; add --rules published"
        return ""

    def schedule(self, jobs: Jobs, cluster: Cluster, rules: Rules) -> Schedule:
        session = Session(jobs, cluster, rules, self.slots, self.order)

        def decide(observation: Mapping[str, Any]) -> int:
            batch = {name: array[None] for name, array in observation.items()}
            return int(greedy_actions(self.network, batch)[0])

        return play_session(session, decide)


@dataclass(frozen=True)
class OwnPolicy:
    """A policy `module:Class` of the user's own; it sees 16 waiting jobs by run time over priority."""

    name: str
    identity: str
    acting: Acting

    @classmethod
    def load(cls, text: str, name: str) -> OwnPolicy:
        """The policy that `text` means; a `UserError` where it is none."""
        acting = load_acting_policy(text)
        return cls(name, acting.identity, acting)

    def refusal(self, rules: Rules) -> str:
        return ""

    def schedule(self, jobs: Jobs, cluster: Cluster, rules: Rules) -> Schedule:
        own = self.acting.make()

        def decide(observation: Mapping[str, Any]) -> int:
            copies = {name: np.array(array) for name, array in observation.items()}
            return checked_action(own.act(copies), observation["action_mask"], self.name)

        return play_session(Session(jobs, cluster, rules, TOP, "urgent"), decide)
