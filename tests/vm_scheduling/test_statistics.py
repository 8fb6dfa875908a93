"""Statistics by hand, and what resampling blocks must and must not change."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spane_rllib.core.bootstrap import Resamples, interval, trimmed_mean
from spane_rllib.experiments.studies.comparison import (
    compare,
    comparison_columns,
    comparison_rows,
    episode_counts,
    estimate,
    verdict,
)
from spane_rllib.problems.vm_scheduling.waits.problem import WAITS as PROBLEM
from spane_rllib.problems.vm_scheduling.waits.statistics import (
    fairness_statistics,
    wait_statistics,
)

STATISTICS = PROBLEM.statistics
BY_NAME = STATISTICS.by_name


@pytest.mark.parametrize(
    ("values", "trim", "expected"),
    [
        ([5], 0.4, 5),
        ([1, 2, 3, 100], 0.0, 26.5),
        ([100, 1, 3, 2], 0.25, 2.5),
        ([100, 1, 3, 2], 0.24, 26.5),  # less than one whole value
        (range(10), 0.1, 4.5),
        ([0, 0, 0, 0, 0, 0, 0, 0, 60, 1000], 0.1, 7.5),
        (range(20), 0.15, 9.5),  # 0.15 * 20 is a little less than 3 in binary
        ([*range(97), 1e6, 1e6, 1e6], 0.03, np.mean(range(3, 97))),
    ],
)
def test_trimmed_mean_by_hand(values: list[float], trim: float, expected: float) -> None:
    assert trimmed_mean(values, trim) == pytest.approx(expected)


def test_statistics_by_hand() -> None:
    waits = [0.0, 0.0, *[np.e - 1] * 6, 300_000.0, 300_001.0]
    bounds = [0.0, 0.0, *[(np.e - 1) / 2] * 6, 0.0, 1.0]
    values = {
        name: value.item() for name, value in wait_statistics(waits, bounds, Resamples.none(10)).items()
    }
    small = np.e - 1
    assert values == {
        "trimmed_mean_05_s": pytest.approx((6 * small + 600_001) / 10),  # 5% of 10 is less than one
        "trimmed_mean_10_s": pytest.approx((6 * small + 300_000) / 8),
        "trimmed_mean_20_s": pytest.approx(small),
        "mean_s": pytest.approx((6 * small + 600_001) / 10),
        "median_s": pytest.approx(small),
        "mean_log1p": pytest.approx((6 + np.log(300_001) + np.log(300_002)) / 10),
        "catastrophe_rate": 0.1,  # 300,000 s are none
        "zero_wait_rate": 0.2,
        # Without 0 and 1: two zeros and six halves among eight.
        "lower_bound_trimmed_mean_10_s": pytest.approx(6 * small / 2 / 8),
        "gap_trimmed_mean_10": pytest.approx((6 * small + 300_000) / (6 * small / 2)),
        "gap_mean": pytest.approx((6 * small + 600_001) / (6 * small / 2 + 1)),
    }


@pytest.mark.parametrize(("wait", "bound", "gap"), [(0, 0, 1), (5, 0, np.inf), (6, 3, 2)])
def test_the_gap_of_a_bound_of_zero(wait: float, bound: float, gap: float) -> None:
    values = wait_statistics([wait] * 3, [bound] * 3, Resamples.none(3))
    assert values["gap_mean"][0] == values["gap_trimmed_mean_10"][0] == gap


def test_titles_are_those_of_the_statistics() -> None:
    fairness = {"longest_wait_p99_s", "overtaken_rate"}
    assert {*BY_NAME, "lower_bound_trimmed_mean_10_s"} - fairness == set(
        wait_statistics([1.0], [1.0], Resamples.none(1))
    )
    assert fairness < set(fairness_statistics(fair_episodes(), Resamples.none(3)))
    assert [
        BY_NAME[name].show(1234.5678) for name in ("mean_s", "catastrophe_rate", "mean_log1p", "gap_mean")
    ] == ["1,235", "123456.8%", "1234.568", "1234.57"]
    assert BY_NAME["gap_mean"].show(np.inf) == BY_NAME["mean_s"].show(np.nan) == "n/a"


def fair_episodes() -> pd.DataFrame:
    """Three episodes of 10 VMs, one of them a giant; in the last one nobody waits."""
    return pd.DataFrame(
        {
            "max_wait_s": [50.0, 70.0, 0.0],
            "overtaken": [1, 2, 0],
            "passes": [4, 5, 0],
            "wait_small_s": [0.0, 9.0, 0.0],
            "wait_medium_s": [0.0, 0.0, 0.0],
            "wait_large_s": [0.0, 0.0, 0.0],
            "wait_giant_s": [50.0, 70.0, 0.0],
            "vms_small": [9, 9, 9],
            "vms_medium": [0, 0, 0],
            "vms_large": [0, 0, 0],
            "vms_giant": [1, 1, 1],
        }
    )


def test_fairness_by_hand() -> None:
    values = fairness_statistics(fair_episodes(), Resamples.none(3))
    assert {name: value.item() for name, value in values.items()} == {
        "longest_wait_p99_s": 70,
        "overtaken_rate": pytest.approx(3 / 30),
        "passes_per_overtaken": 3,
        "mean_wait_small_s": pytest.approx(9 / 27),
        "mean_wait_medium_s": 0,
        "mean_wait_large_s": 0,
        "mean_wait_giant_s": 40,
    }


waits = st.lists(
    st.tuples(st.integers(0, 9), st.sampled_from([0.0, 1.5, 2.0, 7.0, 1e6])), min_size=1, max_size=30
)


@given(waits, st.integers(0, 5))
def test_a_resample_is_the_sample_with_its_blocks_repeated(
    episodes: list[tuple[int, float]], seed: int
) -> None:
    starts, values = np.array([start for start, _ in episodes]), np.array([wait for _, wait in episodes])
    resamples = Resamples.draw(starts, 3, seed, block_rows=2)
    blocks = len(np.unique(starts // 2))
    assert resamples.counts.shape == (4 if blocks > 1 else 1, blocks)
    assert (resamples.counts.sum(axis=1) == blocks).all()
    assert (resamples.counts[0] == 1).all()
    statistics = wait_statistics(values, values / 2, resamples)
    for row, counts in enumerate(resamples.counts):
        repeated = np.repeat(values, counts[resamples.blocks])
        assert resamples.episodes[row] == len(repeated)
        for name, expected in (
            ("trimmed_mean_05_s", trimmed_mean(repeated, 0.05)),
            ("trimmed_mean_10_s", trimmed_mean(repeated, 0.1)),
            ("trimmed_mean_20_s", trimmed_mean(repeated, 0.2)),
            ("mean_s", repeated.mean()),
            ("median_s", np.median(repeated)),
            ("zero_wait_rate", (repeated == 0).mean()),
        ):
            assert statistics[name][row] == pytest.approx(expected), name
        for share in (0.5, 0.99):
            expected = np.quantile(repeated, share, method="inverted_cdf")
            assert resamples.quantiles(values, share)[row] == expected


@given(waits, st.sampled_from([0.0, 0.05, 0.5, 0.99]))
def test_the_sample_alone_comes_to_what_it_comes_to_beside_resamples(
    episodes: list[tuple[int, float]], share: float
) -> None:
    """To the last bit, though it is not the same code."""
    blocks, values = np.array([start for start, _ in episodes]), np.array([wait / 3 for _, wait in episodes])
    alone, beside = Resamples.none(len(values)), Resamples(blocks, np.ones((2, 10), np.int64))
    for trim in (share, 0.1):
        [[expected, _]] = beside.trimmed_means(values, (trim,))
        assert alone.trimmed_means(values, (trim,)).item() == expected
    assert alone.quantiles(values, share).item() == beside.quantiles(values, share)[0]


def test_blocks_are_drawn_evenly_and_by_the_seed_alone() -> None:
    starts = np.arange(0, 40_000, 50)
    drawn = Resamples.draw(starts, 4000, seed=1)
    assert drawn.counts.shape == (4001, 20)
    np.testing.assert_array_equal(drawn.blocks, starts // 2000)
    assert drawn.counts[1:].mean(axis=0) == pytest.approx(np.ones(20), abs=0.1)
    np.testing.assert_array_equal(drawn.counts, Resamples.draw(starts, 4000, seed=1).counts)
    assert (drawn.counts != Resamples.draw(starts, 4000, seed=2).counts).any()


def test_the_interval_is_that_of_the_percentiles_of_the_resamples() -> None:
    assert interval(np.array([99.0, *range(201)])) == pytest.approx((5, 195))
    assert np.isnan(interval(np.array([99.0]))).all()
    assert np.isnan(interval(np.array([1.0, 2.0, np.inf]))).all()


def test_the_spread_of_a_mean_of_blocks_is_the_textbook_one() -> None:
    """Equal blocks: the bootstrap's standard deviation of the mean is that of the block means / sqrt(B)."""
    rng = np.random.default_rng(3)
    means = np.repeat(rng.normal(1000, 100, 50), 10)  # overlapping episodes: all ten of a block are alike
    resamples = Resamples.draw(np.arange(500), 4000, block_rows=10)
    spread = resamples.means(means)[1:].std()
    assert spread == pytest.approx(means.std() / np.sqrt(50), rel=0.05)
    assert spread > 2 * means.std() / np.sqrt(500), "episodes are not taken for independent"


def episodes_of(waits: np.ndarray, policy: str, starts: np.ndarray | None = None) -> pd.DataFrame:
    starts = np.arange(len(waits)) * 500 if starts is None else starts
    waits_of = {"total_wait_s": waits, "lower_bound_s": waits / 3}
    fairness = dict.fromkeys(fair_episodes(), 0.0)
    return pd.DataFrame({"policy": policy, "servers": 5, "start": starts, **waits_of, **fairness})


def compared(a: np.ndarray, b: np.ndarray, starts: np.ndarray | None = None) -> pd.DataFrame:
    frames = episodes_of(a, "one", starts), episodes_of(b, "other", starts)
    resamples = Resamples.draw(frames[0]["start"], 500)
    return compare(PROBLEM, *(estimate(PROBLEM, frame, resamples) for frame in frames))


WAITS = np.random.default_rng(0).integers(0, 10**6, 80).astype(float)


def test_equal_policies_do_not_differ() -> None:
    comparison = compared(WAITS, WAITS)
    assert list(comparison.columns) == comparison_columns(PROBLEM)
    assert tuple(comparison["statistic"]) == tuple(BY_NAME)
    for column in ("difference", "difference_low", "difference_high", "a_better_share", "a_wins", "b_wins"):
        assert (comparison[column] == 0).all(), column
    assert (comparison["ties"] == 80).all()
    assert verdict(STATISTICS, comparison) == "The two are equal."


def test_a_constant_shift_is_its_own_interval() -> None:
    comparison = compared(WAITS, WAITS + 1000).set_index("statistic")
    seconds = [name for name in BY_NAME if name.endswith("_s") and name != "longest_wait_p99_s"]
    for column in ("difference", "difference_low", "difference_high"):
        assert comparison.loc[seconds, column].to_numpy() == pytest.approx([1000] * len(seconds))
    assert (comparison.loc[seconds, "a_better_share"] == 1).all()
    row = comparison.iloc[0]
    assert (row["servers"], row["a"], row["b"]) == (5, "one", "other")
    assert (row["a_wins"], row["ties"], row["b_wins"]) == (80, 0, 0)
    assert verdict(STATISTICS, comparison.reset_index()).startswith(
        "one is better by trim 5%, trim 10%, trim 20%, mean"
    )


def test_a_higher_rate_of_episodes_without_wait_is_better() -> None:
    comparison = compared(np.tile([0.0, 8.0], 40), np.full(80, 4.0)).set_index("statistic")
    row = comparison.loc["zero_wait_rate"]
    assert (row["difference"], row["difference_low"], row["difference_high"]) == (-0.5, -0.5, -0.5)
    assert row["a_better_share"] == 1
    assert "one is better by mean log1p, zero wait (significant at 95%: all)" in verdict(
        STATISTICS, comparison.reset_index()
    )


def test_one_block_gives_differences_without_intervals() -> None:
    comparison = compared(np.array([1.0, 2, 6]), np.array([2.0, 2, 8]), starts=np.array([4001, 4000, 5999]))
    by_name = comparison.set_index("statistic")
    assert by_name.loc["mean_s", "difference"] == 1
    assert comparison[["difference_low", "difference_high", "a_better_share"]].isna().all(axis=None)
    assert verdict(STATISTICS, comparison).endswith(
        "No interval: the episodes lie in one block of start rows."
    )
    assert "significant" not in verdict(STATISTICS, comparison)
    assert {row[-2:] for row in comparison_rows(STATISTICS, comparison)} == {("n/a", "n/a")}


def test_ties_are_equal_to_a_millionth_of_a_second() -> None:
    a = np.array([1.0, 1, 1, 1, 1, 1])
    comparison = compared(a, a + np.array([0, 9e-7, -9e-7, 2e-6, -2e-6, 5]))
    assert episode_counts(STATISTICS, comparison) == (
        "Episode by episode: one waits less in 2, as long in 3, longer in 1 of 6."
    )


@given(st.permutations(range(12)))
def test_the_order_of_the_episodes_changes_nothing(order: list[int]) -> None:
    starts = np.array([0, 0, 1, 2500, 2500, 4000, 6000, 6001, 8000, 9000, 9500, 9999])
    a, b = episodes_of(WAITS[:12], "one", starts), episodes_of(WAITS[12:24], "other", starts)
    for frame in (a, b):  # the same start, the same episode
        for column in ("total_wait_s", "lower_bound_s"):
            frame.loc[[1, 4], column] = frame.loc[[0, 3], column].to_numpy()
    resamples = Resamples.draw(np.sort(starts), 50)
    expected = compare(PROBLEM, estimate(PROBLEM, a, resamples), estimate(PROBLEM, b, resamples))
    shuffled = compare(PROBLEM, estimate(PROBLEM, a.iloc[order], resamples), estimate(PROBLEM, b, resamples))
    pd.testing.assert_frame_equal(shuffled, expected, rtol=0, atol=0)


def test_other_episodes_are_not_compared() -> None:
    resamples = Resamples.draw([0, 5000], 10)
    a = estimate(PROBLEM, episodes_of(WAITS[:2], "one", np.array([0, 5000])), resamples)
    b = estimate(PROBLEM, episodes_of(WAITS[:2], "other", np.array([0, 5001])), resamples)
    with pytest.raises(ValueError, match="different episodes"):
        compare(PROBLEM, a, b)


def test_equal_figures_do_not_hide_unequal_policies() -> None:
    """Better in one half of the blocks and worse by as much in the other: no difference, a wide interval."""
    waits = np.full(80, 1000.0)
    comparison = compared(waits, waits + np.repeat([100.0, -100.0], 40)).set_index("statistic")
    row = comparison.loc["mean_s"]
    assert row["difference"] == 0
    assert row["difference_low"] < -20 and row["difference_high"] > 20
    assert 0.3 < row["a_better_share"] < 0.7
