"""Replay memory of whole episodes: a ring of columns in which every observation is stored once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from spane_rllib.learning.batch import MASK, Augmentation, Batch
from spane_rllib.learning.returns import bootstrap_discounts, bootstrap_steps, n_step_returns

Columns = dict[str, npt.NDArray[Any]]


class EpisodeReplay:
    """A ring of transitions, sampled uniformly with replacement; the oldest rows are overwritten first.

    The next state of a row is a later row of the same episode: it is never overwritten before the row itself
    and needs no copy. The final observation of a truncated episode has its own row, which is not sampled.

    The arrays of an observation and the action get their shapes and types from the first episode.

    Args:
        capacity: number of rows, at least 2. Memory is used only for rows that have been written.
        n_step: number of rewards in a return, at least 1.
        gamma: discount per step.
        seed: decides what is sampled.
        augmentation: renames what is interchangeable in each sampled transition at random.
    """

    def __init__(
        self,
        capacity: int,
        n_step: int,
        gamma: float,
        seed: int,
        augmentation: Augmentation | None = None,
    ) -> None:
        if capacity < 2:  # one row could hold a final observation and nothing to sample
            raise ValueError(f"replay capacity must be at least 2, got {capacity}")
        self.capacity, self.n_step, self.gamma = capacity, n_step, gamma
        self.augmentation = augmentation
        self._random = np.random.default_rng(seed)
        self._observations: Columns = {}
        self._columns: Columns = {
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
        observation: Mapping[str, npt.ArrayLike],
        action: npt.ArrayLike,
        reward: npt.ArrayLike,
        terminated: bool = True,
        final_observation: Mapping[str, npt.ArrayLike] | None = None,
    ) -> None:
        """Copy one episode of T >= 1 steps into the ring; of one longer than the ring only the end is kept.

        Args:
            observation: (T, ...) arrays before each action, `action_mask` (T, A) among them.
            action: (T,) actions taken, each feasible; or (T, P) factored ones, which are not checked: what is
                feasible for one part may depend on another.
            reward: (T,)
            terminated: True if the episode came to its natural end, False if it was cut off.
            final_observation: what followed the last action; needed if cut off, else not used.

        Raises:
            ValueError: a shape is wrong, an action is infeasible, or a final observation that is needed is
                missing or has no feasible action to bootstrap from.
        """
        observations = {name: np.asarray(values) for name, values in observation.items()}
        actions, rewards = np.asarray(action), np.asarray(reward)
        length = len(actions)
        self._check_episode(length, observations, actions, rewards)
        steps = bootstrap_steps(length, self.n_step)
        columns = {
            "action": actions,
            "n_step_return": n_step_returns(rewards, self.n_step, self.gamma),
            "discount": bootstrap_discounts(length, self.n_step, self.gamma, terminated),
            "is_transition": np.ones(length, np.bool_),
        }
        if terminated:
            steps = np.where(columns["discount"] == 0.0, 0, steps)  # no next state: point at the row itself
        else:
            observations = _with_final_row(observations, final_observation)
            # An observation that no action followed: all that only transitions have is 0.
            columns = {
                name: np.concatenate([values, np.zeros_like(values[:1])]) for name, values in columns.items()
            }
            steps = np.append(steps, 0)

        kept = min(len(steps), self.capacity)
        rows = (self._position + np.arange(kept)) % self.capacity
        columns["successor"] = (rows + steps[-kept:]) % self.capacity
        self._make_columns(observations, actions)
        # One slice, or two where the ring begins anew: far faster than by numbers of rows.
        before_end = min(kept, self.capacity - self._position)
        for piece, ring in (
            (slice(0, before_end), slice(self._position, self._position + before_end)),
            (slice(before_end, kept), slice(0, kept - before_end)),
        ):
            self._transitions -= int(np.count_nonzero(self._columns["is_transition"][ring]))
            for name, values in columns.items():
                self._columns[name][ring] = values[-kept:][piece]
            for name, values in observations.items():
                self._observations[name][ring] = values[-kept:][piece]
            self._transitions += int(np.count_nonzero(self._columns["is_transition"][ring]))
        self._position = (self._position + kept) % self.capacity
        self._rows = min(self._rows + kept, self.capacity)

    def _check_episode(
        self, length: int, observations: Columns, actions: npt.NDArray[Any], rewards: npt.NDArray[Any]
    ) -> None:
        if length == 0:
            raise ValueError("an episode needs at least one step")
        if MASK not in observations:
            raise ValueError(f"an observation needs an {MASK}; this one has {', '.join(observations)}")
        if self._observations and observations.keys() != self._observations.keys():
            raise ValueError(
                f"observations have {', '.join(self._observations)}, this one {', '.join(observations)}"
            )
        for name, values in observations.items():
            stored = self._observations.get(name, values)
            _check_shape(name, values, (length, *stored.shape[1:]))
        _check_shape("reward", rewards, (length,))
        _check_shape("action", actions, (length, *self._columns.get("action", actions).shape[1:]))
        if actions.ndim == 1:
            mask = observations[MASK]
            in_range = actions.min() >= 0 and actions.max() < mask.shape[1]
            if not (in_range and mask[np.arange(length), actions].all()):
                raise ValueError("the episode contains an infeasible action")

    def _make_columns(self, observations: Columns, actions: npt.NDArray[Any]) -> None:
        if self._observations:
            return
        # Zero pages are mapped by the operating system on first write: untouched rows cost nothing.
        self._observations = {
            name: np.zeros((self.capacity, *values.shape[1:]), values.dtype)
            for name, values in observations.items()
        }
        self._columns["action"] = np.zeros((self.capacity, *actions.shape[1:]), np.int64)

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
        # Any mode but "raise" lets numpy write to `out` directly; all rows are in range.
        for name in ("action", "n_step_return", "discount"):
            self._columns[name].take(rows, axis=0, out=getattr(batch, name), mode="clip")
        for name, column in self._observations.items():
            column.take(rows, axis=0, out=batch.observation[name], mode="clip")
            column.take(successors, axis=0, out=batch.next_observation[name], mode="clip")
        if self.augmentation is None:
            return batch
        return self.augmentation.apply(batch, self._random.integers(len(self.augmentation), size=batch_size))

    def _new_buffers(self, batch_size: int) -> Batch:
        def like(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
            return np.empty((batch_size, *column.shape[1:]), column.dtype)

        observation, following = (
            {name: like(column) for name, column in self._observations.items()} for _ in range(2)
        )
        action, returns, discount = (
            like(self._columns[name]) for name in ("action", "n_step_return", "discount")
        )
        return Batch(observation, action, returns, discount, following)

    def state(self) -> dict[str, Any]:
        """All that an exact continuation needs: copies of the rows in use, and the random generator."""
        return {
            "settings": self._settings(),
            "columns": self._rows_in_use(self._columns),
            "observations": self._rows_in_use(self._observations),
            "position": self._position,
            "random": self._random.bit_generator.state,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`, taken from a replay memory with the same settings.

        Raises:
            ValueError: the settings differ (the stored returns and successors hold for them only), or the
                observations do.
        """
        if state["settings"] != self._settings():
            raise ValueError(f"this replay memory has {self._settings()}, the state {state['settings']}")
        columns, observations = state["columns"], state["observations"]
        self._rows = len(columns["discount"])
        if self._rows:
            self._make_columns(observations, columns["action"])
            if observations.keys() != self._observations.keys():
                raise ValueError("this replay memory has other observations than the state")
            for name, values in observations.items():
                _check_shape(name, values, (self._rows, *self._observations[name].shape[1:]))
                self._observations[name][: self._rows] = values
            for name, values in columns.items():
                self._columns[name][: self._rows] = values
        self._columns["is_transition"][self._rows :] = False
        self._position = state["position"]
        self._transitions = int(np.count_nonzero(self._columns["is_transition"]))
        self._random.bit_generator.state = state["random"]

    def _rows_in_use(self, columns: Columns) -> Columns:
        return {name: column[: self._rows].copy() for name, column in columns.items()}

    def _settings(self) -> dict[str, float]:
        return {name: getattr(self, name) for name in ("capacity", "n_step", "gamma")}


def _check_shape(name: str, values: npt.NDArray[Any], expected: tuple[int, ...]) -> None:
    if values.shape != expected:
        raise ValueError(f"{name} must have shape {expected}, got {values.shape}")


def _with_final_row(observations: Columns, final: Mapping[str, npt.ArrayLike] | None) -> Columns:
    if final is None:
        raise ValueError("a truncated episode needs its final observation")
    if not np.any(final[MASK]):
        raise ValueError("the final observation of a truncated episode has no feasible action")
    extended = {}
    for name, values in observations.items():
        last = np.asarray(final[name], values.dtype)
        _check_shape(f"final {name}", last, values.shape[1:])
        extended[name] = np.concatenate([values, last[None]])
    return extended
