"""What both environments share: keywords, episodes, and the reward of a window."""

from __future__ import annotations

import inspect
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from spane_rllib.core.errors import UserError
from spane_rllib.core.settings import validated
from spane_rllib.problems.pod_migration.environments.observation import (
    Observation,
    observation_space,
    observe,
)
from spane_rllib.problems.pod_migration.instance import TERMS, PodInstance
from spane_rllib.problems.pod_migration.settings import PodSettings
from spane_rllib.problems.pod_migration.simulator.episode import Episode
from spane_rllib.problems.pod_migration.simulator.windows import COUNTS

_OWN = (
    inspect.Parameter("resampled_windows", inspect.Parameter.KEYWORD_ONLY, default=0),
    inspect.Parameter("training_horizon", inspect.Parameter.KEYWORD_ONLY, default=None),
    inspect.Parameter("shaping", inspect.Parameter.KEYWORD_ONLY, default=0.0),
    inspect.Parameter("discount", inspect.Parameter.KEYWORD_ONLY, default=1.0),
    inspect.Parameter("migration_factor", inspect.Parameter.KEYWORD_ONLY, default=1.0),
    inspect.Parameter("instance", inspect.Parameter.KEYWORD_ONLY, default=None),
)
_FORESEEN = 256
"""Windows of which a potential is the mean."""


class WindowEnv(gymnasium.Env[Observation, Any]):
    """Episodes of windows.

    Args:
        resampled_windows, training_horizon, shaping, discount, migration_factor: see
            `settings.WindowTraining`.
        instance: what is played, if it is at hand already; the others are then left out.
        **settings: the fields of `settings.PodSettings`.

    Raises:
        UserError: a keyword is not allowed, or the data cannot be read.
    """

    # What `inspect.signature` and help() say; the settings check the values.
    __signature__ = inspect.Signature(
        [
            *_OWN,
            *(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in PodSettings.model_fields),
        ]
    )

    def __init__(
        self,
        resampled_windows: int = 0,
        training_horizon: int | None = None,
        shaping: float = 0.0,
        discount: float = 1.0,
        migration_factor: float = 1.0,
        instance: PodInstance | None = None,
        **settings: Any,
    ) -> None:
        self.instance = instance or PodInstance(validated(PodSettings, settings, "env_config"))
        self._episode = Episode(self.instance, self._moves())
        self._first, self._last = self.instance.window_range("train")
        self._resampled = resampled_windows
        self._shaping, self._discount = shaping, discount
        self._migration_factor = migration_factor
        self._potential = 0.0
        self._horizon = training_horizon or self.instance.settings.horizon
        self._end = 0
        self._sums: dict[str, float] = {}
        self._windows = 0
        self.observation_space = observation_space(self.instance)

    def _moves(self) -> int | None:
        """Moves before a window at most; None: as the settings say."""
        return None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode at a training window that `seed` decides.

        Args:
            seed: of the window.
            options: `start`, a window to begin at instead.
        """
        super().reset(seed=seed)
        windows = self.instance.demand.windows
        start = int(self.np_random.integers(self._first, max(self._last - self._horizon, self._first) + 1))
        if options and "start" in options:
            start = options["start"]
            if not isinstance(start, int | np.integer) or not 0 <= start < windows:
                raise UserError(f"start {start!r}: must be a window, 0 to {windows - 1:,}")
        self._end = int(start) + self._horizon
        self._episode.reset(int(start))
        self._sums = dict.fromkeys(("reward", "migrations", *COUNTS), 0.0)
        self._windows = 0
        random = np.random.default_rng(int(start))
        self._foreseen = random.integers(self._first, self._last, _FORESEEN if self._shaping else 0)
        self._pointers = random.integers(0, len(self._episode.placement), len(self._foreseen))
        self._potential = self._potential_now()
        return self._observe(), self._info(dict.fromkeys(TERMS, 0.0))

    def _potential_now(self) -> float:
        """The mean reward of training windows with the pods where they are, for `shaping` windows."""
        if not self._shaping:
            return 0.0
        terms = self.instance.terms(self._episode.count(self._foreseen, pointers=self._pointers))
        return self._shaping * sum(float(values.mean()) for values in terms.values())

    def _move(self, pod: int, node: int) -> float:
        self._sums["migrations"] += 1
        return self._migration_factor * self._episode.move(pod, node)

    def _play_window(self) -> dict[str, float]:
        """Play the next window; the terms of its reward."""
        episode, windows = self._episode, np.empty(0, np.int64)
        if self._resampled:
            # Decided by the window alone: episodes with the same start meet the same demand.
            random = np.random.default_rng(episode.window)
            windows = random.integers(self._first, self._last, self._resampled)
        others = episode.count(windows)
        counts = episode.advance()
        for name, count in zip(COUNTS, counts, strict=True):
            self._sums[name] += count
        self._windows += 1
        terms = self.instance.terms(np.concatenate([counts[None], others]))
        return {name: float(values.mean()) for name, values in terms.items()}

    def _result(self, terms: dict[str, float]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        reward = sum(terms.values())
        self._sums["reward"] += reward
        if self._shaping:
            before = self._potential
            if terms["migration"] or self.instance.settings.carry_over:
                self._potential = self._potential_now()
            terms["shaping"] = self._discount * self._potential - before
            reward += terms["shaping"]
        episode = self._episode
        terminated = episode.window >= self.instance.demand.windows
        truncated = not terminated and episode.window >= self._end
        return self._observe(), reward, terminated, truncated, self._info(terms)

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """What is feasible, flat, under the name that sb3-contrib asks for."""
        return self._observe()["action_mask"].astype(np.bool_).ravel()

    def _observe(self) -> Observation:
        return observe(self._episode)

    def _info(self, terms: dict[str, float]) -> dict[str, Any]:
        """The terms of the last reward, counts of the episode so far, and its penalty."""
        penalty = -100 * self._sums["reward"] / max(self._windows, 1)
        return {"terms": terms, **self._sums, "window": self._episode.window, "penalty": penalty}
