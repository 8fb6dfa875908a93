"""Statistics of the total wait per episode, of a sample of episodes and of block-bootstrap resamples of it.

Episodes that start at neighbouring rows of the trace overlap, so their waits are not independent. Blocks of
consecutive start rows are resampled instead of episodes, all episodes of a block together (Künsch 1989, with
disjoint blocks), and every policy on the same blocks, so that differences between policies are paired.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from spane_rllib.core.compiling import compiled

CATASTROPHE_S = 300_000.0
BLOCK_ROWS = 2000
"""Start rows of a block; an episode places some 900 VMs on average, 3,000 at most, on 5 servers."""
CONFIDENCE = 0.95

Numbers = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

STATISTICS: dict[str, str] = {
    "trimmed_mean_05_s": "trim 5%, s",
    "trimmed_mean_10_s": "trim 10%, s",
    "trimmed_mean_20_s": "trim 20%, s",
    "mean_s": "mean, s",
    "median_s": "median, s",
    "mean_log1p": "mean log1p",
    "catastrophe_rate": "catastrophes",
    "zero_wait_rate": "zero wait",
    "gap_trimmed_mean_10": "trim 10% / lower bound",
    "gap_mean": "mean / lower bound",
}
"""Title of each statistic in tables. Less is better, except for `zero_wait_rate`."""


def statistic_text(name: str, value: float) -> str:
    """`value` of the statistic `name` as tables show it."""
    if not np.isfinite(value):
        return "n/a"
    if name.endswith("_rate"):
        return f"{value:.1%}"
    return f"{value:,.0f}" if name.endswith("_s") else f"{value:.{2 if name.startswith('gap_') else 3}f}"


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
        cls, starts: npt.ArrayLike, resamples: int = 2000, seed: int = 0, block_rows: int = BLOCK_ROWS
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
        sums = _kept_sums(values[order], self.blocks[order], self.counts, self.episodes, dropped)
        return sums / (self.episodes - 2 * dropped)


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


def wait_statistics(waits: npt.ArrayLike, bounds: npt.ArrayLike, resamples: Resamples) -> dict[str, Numbers]:
    """(1 + R,) values of each of `STATISTICS`, of the sample and of each resample.

    Args:
        waits: (E,) total wait of each episode, seconds.
        bounds: (E,) lower bounds on them, seconds.
        resamples: of these episodes, in the same order.

    A gap is a statistic of the waits over the same one of the bounds: 1 where both are zero.
    `lower_bound_trimmed_mean_10_s` is there too.
    """
    waits, bounds = np.asarray(waits, np.float64), np.asarray(bounds, np.float64)
    trim_05, trim_10, trim_20, median = resamples.trimmed_means(waits, (0.05, 0.1, 0.2, 0.5))
    [bound] = resamples.trimmed_means(bounds, (0.1,))
    mean = resamples.means(waits)
    return {
        "trimmed_mean_05_s": trim_05,
        "trimmed_mean_10_s": trim_10,
        "trimmed_mean_20_s": trim_20,
        "mean_s": mean,
        "median_s": median,
        "mean_log1p": resamples.means(np.log1p(waits)),
        "catastrophe_rate": resamples.means(waits > CATASTROPHE_S),
        "zero_wait_rate": resamples.means(waits == 0),
        "lower_bound_trimmed_mean_10_s": bound,
        "gap_trimmed_mean_10": _gap(trim_10, bound),
        "gap_mean": _gap(mean, resamples.means(bounds)),
    }


def _gap(waits: Numbers, bounds: Numbers) -> Numbers:
    without_wait = np.where(waits == 0, 1.0, np.inf)
    return np.divide(waits, bounds, out=without_wait, where=bounds > 0)


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
