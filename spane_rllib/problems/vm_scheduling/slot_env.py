"""The single environment of any `SlotInstance`: an agent chooses the slot of one VM after the other."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.error import ResetNeeded

from spane_rllib.core.errors import UserError
from spane_rllib.problems.vm_scheduling.instance import SlotInstance
from spane_rllib.problems.vm_scheduling.simulator import Lanes
from spane_rllib.problems.vm_scheduling.simulator.lanes import InfeasibleAction
from spane_rllib.problems.vm_scheduling.simulator.rules import FIRST_SLOT, RUNNING, STATUS

if TYPE_CHECKING:
    from spane_rllib.problems.vm_scheduling.viewing.lane import LaneDrawing

Observation = dict[str, npt.NDArray[Any]]


class SlotEnv(gymnasium.Env[Observation, np.int64]):
    """What `VMSchedulingEnv` and `AllocationEnv` share; they document it."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 12}  # noqa: RUF012  # Gymnasium's

    def __init__(self, instance: SlotInstance, render_mode: str | None) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise UserError(f"render_mode: {render_mode!r} is not allowed; give None or rgb_array")
        self.instance = instance
        self.render_mode = render_mode
        self._drawing: LaneDrawing | None = None
        self.observation_space = instance.observation_space
        self.action_space = instance.action_space
        self._lanes = Lanes(instance.workload, instance.cluster)
        self._slots = instance.cluster.slots
        self._actions = np.zeros(1, np.int64)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode; see "Starting State" for `options`."""
        super().reset(seed=seed)
        starts, vm_counts = self.instance.episodes([self.np_random], options)
        self._lanes.reset([0], starts, vm_counts)
        if self.render_mode is not None:
            self._drawing = None
            self._draw()
        return self._observe(), self._describe()[1]

    def step(self, action: int | np.int64) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Place the VM at hand on slot `action` and go to the next decision.

        Raises:
            InfeasibleAction: the slot does not exist or has no room (under `infeasible_action="error"`).
            ResetNeeded: no episode is running.
        """
        lanes = self._lanes
        slot = operator.index(action)
        if 0 <= slot < self._slots and lanes.observations.action_mask[0, slot]:
            self._actions[0] = slot
            lanes.step(self._actions)
            reward = self.instance.rewards(lanes).item()
        elif self.instance.infeasible_action == "first_fit" and lanes.running[0]:
            self._actions[0] = lanes.state.counters[0, FIRST_SLOT]
            lanes.step(self._actions)
            reward = self.instance.rewards(lanes).item()
        else:
            reward = self._refuse(slot)
        if self._drawing is not None:
            self._draw()
        status, info = self._describe()
        truncated = status == self.instance.truncated_status
        return self._observe(), reward, status != RUNNING and not truncated, truncated, info

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """(2N,) which actions are feasible now, under the name that sb3-contrib asks for."""
        return self._lanes.observations.action_mask[0].astype(np.bool_)

    def render(self) -> Any:
        """(H, W, 3) the servers and the load now, as animations of the viewer show them; None without a mode.

        Raises:
            ResetNeeded: no episode has begun.
        """
        if self.render_mode is None:
            return None
        if self._drawing is None:
            raise ResetNeeded("nothing to render before reset()")
        return self._drawing.pixels()

    def close(self) -> None:
        """Let go of the drawing."""
        self._drawing = None

    def _draw(self) -> None:
        """Keep the load of this decision for `render`."""
        if self._drawing is None:
            from spane_rllib.problems.vm_scheduling.viewing.lane import LaneDrawing

            self._drawing = LaneDrawing(self.instance)
        self._drawing.note(self._lanes)

    def _refuse(self, slot: int) -> float:
        """End the episode because of an infeasible action, or raise; returns the reward."""
        lanes = self._lanes
        if not lanes.running[0]:
            raise ResetNeeded("no episode is running; call reset() first")
        if self.instance.infeasible_action == "error":
            raise InfeasibleAction(lanes.explain(0, slot))
        reward = self.instance.infeasible_rewards(lanes, np.zeros(1, np.int64)).item()
        lanes.stop([0])
        return reward

    def _observe(self) -> Observation:
        return {name: array[0].copy() for name, array in self._lanes.observations.named().items()}

    def _describe(self) -> tuple[int, dict[str, Any]]:
        """The status of the lane and the info."""
        state = self._lanes.state
        (counters,), (clocks,) = state.counters.tolist(), state.clocks.tolist()
        return counters[STATUS], self.instance.describe(counters, clocks)
