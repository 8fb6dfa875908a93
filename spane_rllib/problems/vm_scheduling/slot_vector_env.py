"""The vectorized environments: many episodes, one compiled call per step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.error import ResetNeeded
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from spane_rllib.core.errors import UserError
from spane_rllib.problems.environments import check_keywords
from spane_rllib.problems.vm_scheduling.instance import Rewards, SlotInstance
from spane_rllib.problems.vm_scheduling.simulator import Lanes
from spane_rllib.problems.vm_scheduling.simulator.rules import FIRST_SLOT, RUNNING
from spane_rllib.problems.vm_scheduling.slot_env import Observation

Flags = npt.NDArray[np.bool_]


class SlotVectorEnv(VectorEnv[Observation, npt.NDArray[np.int64], Rewards]):
    """`num_envs` lanes of a `SlotEnv`: what a `SyncVectorEnv` of it returns, in one compiled call.

    Lane i draws its starts from its own generator, seeded with `seed + i`: its episodes do not depend on the
    number of lanes. Make it with `gymnasium.make_vec(id, num_envs, vectorization_mode="vector_entry_point")`.

    Args:
        num_envs: number of lanes.
        autoreset_mode: "NextStep" (the action after an episode's end is ignored and begins the next one) or
            "SameStep" (the observation is already that of the next episode; the last one is in
            `infos["final_obs"]`, its info in `infos["final_info"]`).
        copy: False returns the arrays of the observation themselves, which the next `step` overwrites.
        render_mode: None; single environments can be drawn, these cannot.
        settings: the other keywords of the single environment.

    `reset` takes the options of the single environment, each one number for all lanes or one per lane; they
    hold for the first episode of every lane. `infos` has its keys, in Gymnasium's vector format.
    """

    instance_class: type[SlotInstance]

    def __init__(
        self,
        num_envs: int = 1,
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        copy: bool = True,
        render_mode: None = None,
        **settings: Any,
    ) -> None:
        if isinstance(num_envs, bool) or not isinstance(num_envs, int | np.integer) or num_envs < 1:
            raise UserError(f"num_envs: {num_envs!r} is not allowed; give a whole number of at least 1")
        if render_mode is not None:
            raise UserError(f"render_mode: {render_mode!r} is not allowed; only None is")
        modes = {mode.value: mode for mode in (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP)}
        name = autoreset_mode.value if isinstance(autoreset_mode, AutoresetMode) else autoreset_mode
        if name not in modes:
            raise UserError(f"autoreset_mode: {name!r} is not one of {', '.join(modes)}")
        check_keywords(settings, [field.name for field in fields(self.instance_class)])
        self.instance = self.instance_class(**settings)
        self.num_envs = int(num_envs)
        self.metadata = {"render_modes": [], "autoreset_mode": modes[name]}
        self.single_observation_space = self.instance.observation_space
        self.single_action_space = self.instance.action_space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._same_step = modes[name] is AutoresetMode.SAME_STEP
        self._copy = copy
        self._lanes = Lanes(self.instance.workload, self.instance.cluster, self.num_envs)
        self._generators = [seeding.np_random()[0] for _ in range(self.num_envs)]
        self._ended: Flags | None = None  # lanes whose episode has ended; None before the first reset

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode in every lane. `seed`: lane i gets `seed + i`, or its own of a sequence."""
        seeds = [seed + lane for lane in range(self.num_envs)] if isinstance(seed, int | np.integer) else seed
        if seeds is not None and len(seeds) != self.num_envs:
            raise UserError(f"seed: got {len(seeds)} of them; give one, or {self.num_envs}")
        for lane, lane_seed in enumerate(seeds or ()):
            if lane_seed is not None:
                self._generators[lane] = seeding.np_random(lane_seed)[0]
        self._begin(np.arange(self.num_envs), options)
        self._ended = np.zeros(self.num_envs, np.bool_)
        return self._observe(), self._describe()

    def step(  # type: ignore[override]  # Gymnasium types flags like rewards
        self, actions: npt.NDArray[np.int64]
    ) -> tuple[Observation, Rewards, Flags, Flags, dict[str, Any]]:
        """One decision in every lane, (num_envs,) actions.

        Raises:
            InfeasibleAction: a slot does not exist or has no room (under `infeasible_action="error"`); no
                lane has moved then.
            ResetNeeded: `reset` was never called.
        """
        lanes = self._lanes
        if self._ended is None:
            raise ResetNeeded("no episode is running; call reset() first")
        actions = np.asarray(actions)
        if actions.shape != (self.num_envs,) or actions.dtype.kind not in "iu":
            raise ValueError(
                f"actions: {actions.dtype} of shape {actions.shape}; give {self.num_envs} whole numbers"
            )
        actions = np.array(actions, np.int64)
        refused = None
        if self.instance.infeasible_action == "terminate":
            refused = self._refuse(actions)
        elif self.instance.infeasible_action == "first_fit":
            infeasible = self._infeasible(actions)
            actions[infeasible] = lanes.state.counters[infeasible, FIRST_SLOT]
        lanes.step(actions)
        rewards = self.instance.rewards(lanes).copy()  # a user's function may return what it is given
        if refused is not None:
            rewards[refused[0]] = refused[1]

        infos: dict[str, Any] = {}
        if not self._same_step and self._ended.any():
            self._begin(np.flatnonzero(self._ended))
            rewards[self._ended] = 0.0
        status = lanes.status
        truncated = status == self.instance.truncated_status
        terminated = (status != RUNNING) & ~truncated
        ended = terminated | truncated
        if self._same_step and ended.any():
            infos |= self._final(ended)
            self._begin(np.flatnonzero(ended))
        self._ended = ended
        infos |= self._describe()
        return self._observe(), rewards, terminated, truncated, infos

    def _begin(self, lanes: npt.NDArray[np.int64], options: dict[str, Any] | None = None) -> None:
        starts, vm_counts = self.instance.episodes([self._generators[lane] for lane in lanes], options)
        self._lanes.reset(lanes, starts, vm_counts)

    def _refuse(self, actions: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], Rewards] | None:
        """End the episodes of lanes whose action is infeasible; returns these lanes and their rewards."""
        refused = self._infeasible(actions)
        if not len(refused):
            return None
        rewards = self.instance.infeasible_rewards(self._lanes, refused)
        self._lanes.stop(refused)
        return refused, rewards

    def _infeasible(self, actions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The running lanes whose action names no slot with room."""
        masks = self._lanes.observations.action_mask
        exists = (actions >= 0) & (actions < masks.shape[1])
        mask = masks[np.arange(self.num_envs), np.where(exists, actions, 0)]
        return np.flatnonzero(self._lanes.running & ~(exists & (mask == 1)))

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """(num_envs, 2N) which actions are feasible now."""
        return self._lanes.observations.action_mask.astype(np.bool_)

    def _observe(self) -> Observation:
        observation = self._lanes.observations.named()
        return {key: array.copy() for key, array in observation.items()} if self._copy else observation

    def _describe(self, which: Flags | None = None) -> dict[str, Any]:
        """The infos of the lanes in `which` (all by default), zero in the others."""
        state = self._lanes.state
        infos = self.instance.describe(state.counters.T.copy(), state.clocks.T.copy())
        if which is None:
            which = np.ones(self.num_envs, np.bool_)
        else:
            infos = {key: value * which for key, value in infos.items()}
        return infos | {f"_{key}": which for key in infos}

    def _final(self, ended: Flags) -> dict[str, Any]:
        final_obs = np.full(self.num_envs, None, object)
        for lane in np.flatnonzero(ended):
            final_obs[lane] = {
                key: array[lane].copy() for key, array in self._lanes.observations.named().items()
            }
        return {
            "final_obs": final_obs,
            "_final_obs": ended,
            "final_info": self._describe(ended),
            "_final_info": ended,
        }
