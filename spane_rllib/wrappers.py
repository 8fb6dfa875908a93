"""Wrappers that show the environments of all problems to agents of other libraries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from spane_rllib.core.errors import UserError

MASK = "action_mask"
"""The entry of observations that says what is feasible, in this package and in RLlib."""
FLAT = "observations"
"""What RLlib calls the rest."""

Array = npt.NDArray[Any]


class FlatObservation(gymnasium.ObservationWrapper[Any, Any, Any]):
    """All arrays of an observation one after the other as a float32 `Box`, beside the mask.

    With `mask` the observation is a `Dict` of `observations` and `action_mask`, as RLlib names them; without
    it just the `Box`, for agents that ask `action_masks()` or ignore masks.

    Args:
        env: its observation is a `Dict` of Boxes or Discretes with `action_mask`, as of every problem.
        mask: whether the mask is part of the observation.

    Raises:
        UserError: the observation of `env` is of another form.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], mask: bool = True) -> None:
        super().__init__(env)
        space = env.observation_space
        if not isinstance(space, spaces.Dict) or MASK not in space.spaces:
            raise UserError(f"FlatObservation: needs a Dict observation with {MASK!r}, not {space}")
        self._rest = spaces.Dict({name: part for name, part in space.spaces.items() if name != MASK})
        flat = spaces.flatten_space(self._rest)
        if not isinstance(flat, spaces.Box):
            raise UserError(f"FlatObservation: {self._rest} cannot be flattened")
        self._flat = spaces.Box(flat.low.astype(np.float32), flat.high.astype(np.float32), dtype=np.float32)
        actions = int(np.prod(space[MASK].shape or ()))
        masks = spaces.Box(0.0, 1.0, (actions,), np.float32)
        self._mask = mask
        self.observation_space = spaces.Dict({FLAT: self._flat, MASK: masks}) if mask else self._flat
        self._feasible = np.ones(actions, np.bool_)

    def observation(self, observation: Mapping[str, Array]) -> Any:
        """The flat form of an observation."""
        self._feasible = np.asarray(observation[MASK]).astype(np.bool_).ravel()
        rest = {name: observation[name] for name in self._rest.spaces}
        # Sums of shares may leave the bounds by a rounding error, which some libraries refuse.
        flat = np.asarray(spaces.flatten(self._rest, rest))
        flat = np.clip(flat, self._flat.low, self._flat.high).astype(np.float32)
        return {FLAT: flat, MASK: self._feasible.astype(np.float32)} if self._mask else flat

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """(A,) which actions are feasible after the last observation, as sb3-contrib asks for."""
        return self._feasible
