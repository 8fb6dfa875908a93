"""Training runs: PPO on the environment, begun with the migrations of a planner where that is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from spane_rllib.core.errors import UserError
from spane_rllib.learning.batch import MASK
from spane_rllib.learning.environment_rollouts import EnvironmentRollouts
from spane_rllib.learning.on_policy_run import OnPolicyRun
from spane_rllib.learning.rollouts import Episode, Starts
from spane_rllib.learning.run import Run, timed
from spane_rllib.learning.tensors import device_of, to_tensors
from spane_rllib.problems.vm_rescheduling.environment.env import VMReschedulingEnv
from spane_rllib.problems.vm_rescheduling.planners.names import planner
from spane_rllib.problems.vm_rescheduling.planners.planner import Request
from spane_rllib.problems.vm_rescheduling.planners.search import exchanged
from spane_rllib.problems.vm_rescheduling.settings import ReschedulePpoSettings
from spane_rllib.problems.vm_rescheduling.simulator.simulation import Plan

if TYPE_CHECKING:
    from spane_rllib.problems.vm_rescheduling.task import RescheduleTask

PLANNING_SECONDS = 2.0
"""Of a plan to imitate or to compare validation with; planners need a small part of it on the small mappings
that are trained on."""


def begin(task: RescheduleTask, network: Any, settings: Any, validation: Any, seed: int) -> Run:
    """A run of PPO on the training mappings of a task; see `Task.begin_run`."""
    keywords = task.instance.model_dump()
    numbers = task.mappings.draw("validation", validation.episodes, validation.seed)
    rollouts = EnvironmentRollouts(
        lambda: VMReschedulingEnv(**keywords),
        settings.lanes,
        task.problem.measure.name,
        -1,
        validation=[{"options": {"map": number}} for number in numbers.tolist()],
        measured=lambda rewards, info: float(info["fragment_rate"]),
    )
    if settings.imitate is None:
        return OnPolicyRun(network, settings, rollouts, validation.every, seed)
    return ImitatingRun(network, settings, rollouts, validation.every, seed, VMReschedulingEnv(**keywords))


class ImitatingRun(OnPolicyRun):
    """PPO whose network first learns what a planner does on training mappings.

    Behaviour cloning of the joint choice, VM and where it goes; values are not touched.

    Args:
        network, settings, rollouts, every, seed: see `OnPolicyRun`.
        environment: in which the planner's migrations are played.
    """

    settings: ReschedulePpoSettings

    def __init__(
        self,
        network: nn.Module,
        settings: ReschedulePpoSettings,
        rollouts: EnvironmentRollouts,
        every: int,
        seed: int,
        environment: VMReschedulingEnv,
    ) -> None:
        super().__init__(network, settings, rollouts, every, seed)
        self._environment = environment
        self._demonstration_seed = np.random.SeedSequence([seed, 1])
        self.seconds = {"imitation": 0.0} | self.seconds

    def _play(self, starts: Starts) -> Sequence[Episode]:
        # A run that continues has its weights already.
        if self.gradient_steps == 0:
            with timed(self.seconds, "imitation"):
                self._last["imitation_loss"] = self._imitate()
            self._validate()
        return super()._play(starts)

    def _imitate(self) -> float:
        """Learn the planner's migrations; returns the last cross-entropy, nats."""
        settings, network = self.settings, self.network
        random = np.random.default_rng(self._demonstration_seed)
        observation, action = demonstrations(self._environment, settings, random)
        device = device_of(network)
        evaluate: Any = network.evaluate
        optimizer = torch.optim.Adam(network.parameters(), lr=settings.imitation_learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.imitation_steps)
        loss = torch.zeros(())
        for _ in range(settings.imitation_steps):
            rows = random.integers(len(action), size=min(settings.imitation_batch, len(action)))
            batch = to_tensors({name: column[rows] for name, column in observation.items()}, device)
            chosen = torch.from_numpy(action[rows]).to(device)
            loss = -evaluate(batch, chosen)[0].mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        return float(loss.detach())


def demonstrations(
    environment: VMReschedulingEnv, settings: ReschedulePpoSettings, random: np.random.Generator
) -> tuple[dict[str, npt.NDArray[Any]], npt.NDArray[np.int64]]:
    """Observations (D, ...) by name, and the (D, 3) migrations of a planner there, best first."""
    assert settings.imitate is not None
    seen: list[dict[str, npt.NDArray[Any]]] = []
    actions: list[list[int]] = []
    for _ in range(settings.imitation_maps):
        observation, _ = environment.reset(seed=int(random.integers(2**31)))
        simulation = environment.simulation
        request = Request(simulation.mapping, environment.migrations, PLANNING_SECONDS, environment.objective)
        if settings.imitate == "search":  # without what it does in the time that is left
            state, objective = simulation.state, simulation.objective
            found, _ = exchanged(state, objective, environment.migrations, request.clock)
        else:
            found = planner(settings.imitate)(request).plan
        for move in best_first(request, found).tolist():
            seen.append(observation)
            actions.append(move)
            observation = environment.step(np.array(move))[0]
            if not observation[MASK].any():
                break
    if not seen:
        raise UserError(f"imitate: {settings.imitate} finds no migration that helps these mappings")
    columns = {name: np.stack([each[name] for each in seen]) for name in seen[0]}
    return columns, np.array(actions, np.int64)


def best_first(request: Request, plan: Plan) -> Plan:
    """The same migrations, at every turn the one that gains most of those that are legal: easier to learn.

    A plan in which that gets stuck stays in its order.
    """
    simulation = request.simulation()
    left, ordered = plan.tolist(), []
    while left:
        best, gain = None, -(2**62)
        for move in left:
            try:
                found = simulation.migrate(*move)
            except ValueError:
                continue
            simulation.undo()
            if found > gain:
                best, gain = move, found
        # A VM that makes way moves twice, in this order.
        if best is None or any(move[0] == best[0] for move in left[: left.index(best)]):
            return plan
        simulation.migrate(*best)
        left.remove(best)
        ordered.append(best)
    return np.array(ordered, np.int64).reshape(-1, 3)
