"""Block-bootstrap resamples of a sample of episodes, and statistics over the sample and every resample.

Episodes that start at neighbouring places of the data overlap, so what they come to is not independent.
Blocks of neighbours are resampled instead of episodes, all episodes of a block together (Künsch 1989, with
disjoint blocks), and every policy on the same blocks, so that differences between policies are paired.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from spane_rllib.core.compiling import compiled

CONFIDENCE = 0.95

Numbers = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


def trimmed_mean(values: npt.ArrayLike, trim: float = 0.1) -> float:
    """The mean after dropping the share `trim` (rounded down to whole values) at each end."""
    ordered = np.sort(np.asarray(values, np.float64))
    dropped = int(trim * len(ordered) + 1e-9)
    return float(ordered[dropped : len(ordered) - dropped].mean())


@dataclass(frozen=True)
class Resamples:
    """A sample of E episodes in B blocks, and R resamples of the blocks.

    Args:
        blocks: (E,) block of each episode, 0 to B - 1.
        counts: (1 + R, B) how often each block is in the sample itself (once) and in each resample.
    """

    blocks: Counts
    counts: Counts

    @classmethod
    def none(cls, episodes: int) -> Resamples:
        """The sample alone."""
        return cls(np.zeros(episodes, np.int64), np.ones((1, 1), np.int64))

    @classmethod
    def draw(
        cls, starts: npt.ArrayLike, resamples: int = 2000, seed: int = 0, block_rows: int = 2000
    ) -> Resamples:
        """Draw `resamples` times as many blocks as there are, with replacement.

        Args:
            starts: (E,) rows at which the episodes begin; a block is `start // block_rows`.
            resamples: how many; none are drawn from a single block, which says nothing about the spread.
            seed: decides them.
            block_rows: rows of a block.
        """
        _, blocks = np.unique(np.asarray(starts, np.int64) // block_rows, return_inverse=True)
        size = int(blocks.max()) + 1
        drawn = np.random.default_rng(seed).multinomial(
            size, np.full(size, 1 / size), size=resamples if size > 1 else 0
        )
        return cls(blocks, np.vstack([np.ones((1, size), np.int64), drawn]))

    @property
    def _are_none(self) -> bool:
        """Whether there is the sample alone, for which nothing needs to be compiled."""
        return len(self.counts) == 1

    @cached_property
    def episodes(self) -> Counts:
        """(1 + R,) episodes in the sample and in each resample."""
        return self.counts @ np.bincount(self.blocks, minlength=self.counts.shape[1])

    def means(self, values: npt.ArrayLike) -> Numbers:
        """(1 + R,) means of `values`, (E,)."""
        sums = np.bincount(self.blocks, np.asarray(values, np.float64), minlength=self.counts.shape[1])
        return (self.counts @ sums) / self.episodes

    def trimmed_means(self, values: Numbers, trims: Sequence[float]) -> Numbers:
        """(len(trims), 1 + R) trimmed means of `values`, (E,); a trim of 0.5 gives the median."""
        order = np.argsort(values, kind="stable")
        dropped = (np.asarray(trims)[:, None] * self.episodes + 1e-9).astype(np.int64)
        dropped = np.minimum(dropped, (self.episodes - 1) // 2)
        if self._are_none:
            kept = (values[order][each : len(values) - each] for each in dropped[:, 0])
            sums = np.array([[np.add.accumulate(each)[-1]] for each in kept])
        else:
            sums = _kept_sums(values[order], self.blocks[order], self.counts, self.episodes, dropped)
        return sums / (self.episodes - 2 * dropped)

    def quantiles(self, values: Numbers, share: float) -> Numbers:
        """(1 + R,) the least of `values`, (E,), that at least `share` of them do not exceed."""
        order = np.argsort(values, kind="stable")
        needed = np.ceil(share * self.episodes - 1e-9).astype(np.int64)
        if self._are_none:
            return values[order][np.maximum(needed, 1) - 1]
        return _quantiles(values[order], self.blocks[order], self.counts, needed)


@compiled
def _quantiles(values: Numbers, blocks: Counts, counts: Counts, needed: Counts) -> Numbers:
    """Of the ascending `values`, each as often as its block counts, the `needed`-th of every row."""
    found = np.full(len(counts), np.nan)
    for row in range(len(counts)):
        seen, position = counts[row, blocks[0]], 0
        while seen < needed[row]:
            position += 1
            seen += counts[row, blocks[position]]
        found[row] = values[position]
    return found


@compiled
def _kept_sums(values: Numbers, blocks: Counts, counts: Counts, episodes: Counts, dropped: Counts) -> Numbers:
    """Sums of the ascending `values`, each as often as its block counts, without `dropped` at each end."""
    sums = np.zeros(dropped.shape)
    for row in range(len(counts)):
        seen = 0
        for position in range(len(values)):
            before = seen
            seen += counts[row, blocks[position]]
            if seen > before:
                for trim in range(len(dropped)):
                    kept = min(seen, episodes[row] - dropped[trim, row]) - max(before, dropped[trim, row])
                    if kept > 0:
                        sums[trim, row] += kept * values[position]
    return sums


def interval(values: Numbers) -> tuple[float, float]:
    """The percentile interval of confidence `CONFIDENCE`; NaN where nothing was resampled.

    Args:
        values: (1 + R,) of the sample, which is left out, and of each resample.
    """
    resampled = values[1:]
    if not len(resampled) or not np.isfinite(resampled).all():
        return np.nan, np.nan
    low, high = np.quantile(resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
