"""Replay memory of whole episodes: a ring of columns in which every observation is stored once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from spane_rllib.learning.augmentation import ServerPermutations
from spane_rllib.learning.batch import Batch, Observation
from spane_rllib.learning.returns import bootstrap_discounts, bootstrap_steps, n_step_returns


class EpisodeReplay:
    """A ring of transitions, sampled uniformly with replacement; the oldest rows are overwritten first.

    The next state of a row is a later row of the same episode: it is never overwritten before the row itself
    and needs no copy. The final observation of a truncated episode has its own row, which is not sampled.

    Args:
        capacity: number of rows, at least 2. Memory is used only for rows that have been written.
        servers: N, number of servers in every observation.
        n_step: number of rewards in a return, at least 1.
        gamma: discount per step.
        seed: decides what is sampled.
        augmentation: renumbers the servers of each sampled transition at random.
    """

    def __init__(
        self,
        capacity: int,
        servers: int,
        n_step: int,
        gamma: float,
        seed: int,
        augmentation: ServerPermutations | None = None,
    ) -> None:
        if capacity < 2:  # one row could hold a final observation and nothing to sample
            raise ValueError(f"replay capacity must be at least 2, got {capacity}")
        self.capacity, self.servers, self.n_step, self.gamma = capacity, servers, n_step, gamma
        self.augmentation = augmentation
        self._random = np.random.default_rng(seed)
        # Zero pages are mapped by the operating system on first write: untouched rows cost nothing.
        self._columns: dict[str, npt.NDArray[Any]] = {
            "servers": np.zeros((capacity, servers, 2, 2), np.float32),
            "request": np.zeros((capacity, 3), np.float32),
            "action_mask": np.zeros((capacity, 2 * servers), np.int8),
            "action": np.zeros(capacity, np.int64),
            "n_step_return": np.zeros(capacity, np.float32),
            "discount": np.zeros(capacity, np.float32),
            "successor": np.zeros(capacity, np.int64),  # row of the state to bootstrap from
            "is_transition": np.zeros(capacity, np.bool_),
        }
        self._rows = 0  # in use
        self._position = 0  # next row to write
        self._transitions = 0
        self._buffers: Batch | None = None

    def __len__(self) -> int:
        """Number of transitions that can be sampled."""
        return self._transitions

    def add_episode(
        self,
        servers: npt.ArrayLike,
        request: npt.ArrayLike,
        action_mask: npt.ArrayLike,
        action: npt.ArrayLike,
        reward: npt.ArrayLike,
        terminated: bool = True,
        final_observation: Observation | None = None,
    ) -> None:
        """Copy one episode of T >= 1 steps into the ring; of one longer than the ring only the end is kept.

        Args:
            servers: (T, N, 2, 2) observations before each action, as in `Observation`.
            request: (T, 3)
            action_mask: (T, 2N)
            action: (T,) slots taken, each feasible.
            reward: (T,)
            terminated: True if the episode came to its natural end, False if it was cut off.
            final_observation: what followed the last action; needed if cut off, else not used.

        Raises:
            ValueError: a shape is wrong, an action is infeasible, or a final observation that is needed is
                missing or has no feasible action to bootstrap from.
        """
        action = np.asarray(action)
        length = len(action)
        columns = {
            "servers": np.asarray(servers),
            "request": np.asarray(request),
            "action_mask": np.asarray(action_mask),
            "action": action,
            "reward": np.asarray(reward),
        }
        if length == 0:
            raise ValueError("an episode needs at least one step")
        for name, values in columns.items():
            expected = (length, *(self._columns[name].shape[1:] if name != "reward" else ()))
            if values.shape != expected:
                raise ValueError(f"{name} must have shape {expected}, got {values.shape}")
        in_range = action.min() >= 0 and action.max() < 2 * self.servers
        if not (in_range and columns["action_mask"][np.arange(length), action].all()):
            raise ValueError("the episode contains an infeasible action")

        steps = bootstrap_steps(length, self.n_step)
        columns["n_step_return"] = n_step_returns(columns.pop("reward"), self.n_step, self.gamma)
        columns["discount"] = bootstrap_discounts(length, self.n_step, self.gamma, terminated)
        columns["is_transition"] = np.ones(length, np.bool_)
        if terminated:
            steps = np.where(columns["discount"] == 0.0, 0, steps)  # no next state: point at the row itself
        else:
            columns, steps = self._with_final_row(columns, steps, final_observation)

        kept = min(len(steps), self.capacity)
        rows = (self._position + np.arange(kept)) % self.capacity
        columns["successor"] = (rows + steps[-kept:]) % self.capacity
        self._transitions -= int(np.count_nonzero(self._columns["is_transition"][rows]))
        for name, values in columns.items():
            self._columns[name][rows] = values[-kept:]
        self._transitions += int(np.count_nonzero(columns["is_transition"][-kept:]))
        self._position = (self._position + kept) % self.capacity
        self._rows = min(self._rows + kept, self.capacity)

    def _with_final_row(
        self, columns: dict[str, npt.NDArray[Any]], steps: npt.NDArray[np.int64], final: Observation | None
    ) -> tuple[dict[str, npt.NDArray[Any]], npt.NDArray[np.int64]]:
        if final is None:
            raise ValueError("a truncated episode needs its final observation")
        if not np.any(final.action_mask):
            raise ValueError("the final observation of a truncated episode has no feasible action")
        extended = {}
        for name, values in columns.items():
            last = np.asarray(getattr(final, name, 0), values.dtype)  # 0: what only transitions have
            if last.shape != values.shape[1:]:
                raise ValueError(f"final {name} must have shape {values.shape[1:]}, got {last.shape}")
            extended[name] = np.concatenate([values, last[None]])
        return extended, np.append(steps, 0)

    def sample(self, batch_size: int) -> Batch:
        """Draw transitions; the arrays are reused and hold their values until the next call."""
        if not self._transitions:
            raise ValueError("cannot sample from an empty replay memory: add an episode first")
        rows = self._random.integers(self._rows, size=batch_size)
        if self._transitions < self._rows:
            is_transition = self._columns["is_transition"]
            while len(rejected := np.flatnonzero(~is_transition[rows])):
                rows[rejected] = self._random.integers(self._rows, size=len(rejected))

        if self._buffers is None or len(self._buffers.action) != batch_size:
            self._buffers = self._new_buffers(batch_size)
        batch, successors = self._buffers, self._columns["successor"].take(rows)
        for name, buffer in batch._asdict().items():
            column = self._columns[name.removeprefix("next_")]
            # Any mode but "raise" lets numpy write to `out` directly; all rows are in range.
            column.take(successors if name.startswith("next_") else rows, axis=0, out=buffer, mode="clip")
        if self.augmentation is None:
            return batch
        return self.augmentation.apply(batch, self._random.integers(len(self.augmentation), size=batch_size))

    def _new_buffers(self, batch_size: int) -> Batch:
        def like(name: str) -> npt.NDArray[Any]:
            column = self._columns[name.removeprefix("next_")]
            return np.empty((batch_size, *column.shape[1:]), column.dtype)

        return Batch(*map(like, Batch._fields))

    def state(self) -> dict[str, Any]:
        """All that an exact continuation needs: copies of the rows in use, and the random generator."""
        return {
            "settings": self._settings(),
            "columns": {name: column[: self._rows].copy() for name, column in self._columns.items()},
            "position": self._position,
            "random": self._random.bit_generator.state,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`, taken from a replay memory with the same settings.

        Raises:
            ValueError: the settings differ (the stored returns and successors hold for them only).
        """
        if state["settings"] != self._settings():
            raise ValueError(f"this replay memory has {self._settings()}, the state {state['settings']}")
        self._rows = len(state["columns"]["action"])
        for name, column in self._columns.items():
            column[: self._rows] = state["columns"][name]
        self._columns["is_transition"][self._rows :] = False
        self._position = state["position"]
        self._transitions = int(np.count_nonzero(self._columns["is_transition"]))
        self._random.bit_generator.state = state["random"]

    def _settings(self) -> dict[str, float]:
        return {name: getattr(self, name) for name in ("capacity", "servers", "n_step", "gamma")}
