"""Items arrive one after the other, each goes into a bin with room for it: use as few bins as possible."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

Observation = dict[str, npt.NDArray[Any]]


def draw_sizes(random: np.random.Generator, items: int, smallest: int, largest: int) -> npt.NDArray[np.int64]:
    """The instance generator: (items,) sizes in whole percent of a bin, each as likely as the others."""
    return random.integers(smallest, largest + 1, items)


class BinPackingEnv(gymnasium.Env[Observation, int]):
    """
    ## Action Space

    `Discrete(items)`: the bin for the item at hand. There are as many bins as items.

    ## Observation Space

    | Key           | Shape      | Type    | Meaning                                          |
    |---------------|------------|---------|--------------------------------------------------|
    | `bins`        | (items, 2) | float32 | free share of each bin, and 1 if it is in use    |
    | `item`        | (1,)       | float32 | size of the item at hand as a share of a bin     |
    | `action_mask` | (items,)   | int8    | 1 where the item fits                            |

    ## Rewards

    -1 for every bin that is used for the first time, else 0.

    ## Starting State and Episode End

    All bins are empty; `reset(seed=...)` decides the sizes. The episode terminates when all items are placed.
    The info has `bins`, the bins in use.
    """

    def __init__(self, items: int = 20, smallest: int = 10, largest: int = 60) -> None:
        self.items, self._range = items, (smallest, largest)
        self.action_space = gymnasium.spaces.Discrete(items)
        self.observation_space = gymnasium.spaces.Dict(
            bins=gymnasium.spaces.Box(0, 1, (items, 2)),
            item=gymnasium.spaces.Box(0, 1, (1,)),
            action_mask=gymnasium.spaces.MultiBinary(items),
        )
        self._free = np.full(items, 100)  # percent of each bin
        self._sizes = np.zeros(items + 1, np.int64)  # percent; a last one for the end, which is never placed
        self._placed = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Draw the items of an episode."""
        super().reset(seed=seed)
        self._sizes[:-1] = draw_sizes(self.np_random, self.items, *self._range)
        self._free[:] = 100
        self._placed = 0
        return self._observe(), {"bins": 0}

    def step(self, action: int) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Put the item at hand into bin `action`."""
        size = self._sizes[self._placed]
        if self._free[action] < size:
            raise ValueError(f"an item of {size} % does not fit into bin {action}")
        opened = self._free[action] == 100
        self._free[action] -= size
        self._placed += 1
        used = int((self._free < 100).sum())
        return self._observe(), -float(opened), self._placed == self.items, False, {"bins": used}

    def action_masks(self) -> np.ndarray:
        """Which bins have room, as sb3-contrib asks for."""
        return self._free >= self._sizes[self._placed]

    def _observe(self) -> Observation:
        size = self._sizes[self._placed]
        return {
            "bins": np.stack([self._free / 100, self._free < 100], axis=1).astype(np.float32),
            "item": np.array([size / 100], np.float32),
            "action_mask": (self._free >= size).astype(np.int8),
        }
