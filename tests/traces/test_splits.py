"""Episode starts: ranges, sampling and files of starts."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spane_rllib.core.errors import UserError
from spane_rllib.datasets.vm_traces.readers import read_trace
from spane_rllib.datasets.vm_traces.splits import (
    SPLIT_NAMES,
    Splits,
    read_starts,
    sample_starts,
    select_starts,
    splits_of,
)
from spane_rllib.datasets.vm_traces.trace import VmTrace


def trace_of(length: int) -> VmTrace:
    return VmTrace(np.ones(length), np.ones(length), np.arange(length, dtype=float), np.ones(length))


def test_fractions() -> None:
    assert splits_of(trace_of(1000)) == Splits(train=(0, 430), validation=(430, 600), test=(600, 945))
    assert splits_of(trace_of(10), (0.5, 0.7, 1.0)) == Splits((0, 5), (5, 7), (7, 10))


def test_published_ranges_of_huawei_east_1(huawei_file: Path) -> None:
    trace = read_trace(huawei_file).trace
    assert splits_of(trace) == Splits((0, 50_000), (50_000, 70_000), (70_000, 110_000))
    assert splits_of(trace, (0.5, 0.7, 1.0)).train == (0, 58_156)


@pytest.mark.parametrize("fractions", [(0.5, 0.4, 0.9), (0.0, 0.5, 0.9), (0.1, 0.2, 1.1), (0.5, 0.9)])
def test_bad_fractions(fractions: tuple[float, ...]) -> None:
    with pytest.raises(UserError, match="three increasing numbers"):
        splits_of(trace_of(100), fractions)


def test_a_trace_too_short_to_split() -> None:
    with pytest.raises(UserError, match=r"split train has no rows: \[0, 0\)"):
        splits_of(trace_of(2))


@given(seed=st.integers(0, 2**40), count=st.integers(1, 400), name=st.sampled_from(SPLIT_NAMES))
def test_samples_lie_in_their_range_and_repeat_only_if_they_must(seed: int, count: int, name: str) -> None:
    splits = Splits((0, 100), (100, 150), (150, 400))
    starts = sample_starts(splits, name, count, seed)
    low, high = splits.range_of(name)
    assert starts.dtype == np.int64
    assert len(starts) == count
    assert (low <= starts).all()
    assert (starts < high).all()
    assert len(set(starts.tolist())) == count or count > high - low
    assert (starts == sample_starts(splits, name, count, seed)).all()


def test_seed_and_name_both_matter() -> None:
    splits = Splits((0, 1000), (1000, 2000), (2000, 3000))
    train = sample_starts(splits, "train", 50, seed=1)
    assert (sample_starts(splits, "train", 50, seed=2) != train).any()
    assert (sample_starts(splits, "test", 50, seed=1) - 2000 != train).any()


def test_bad_requests() -> None:
    splits = Splits((0, 10), (10, 20), (20, 30))
    with pytest.raises(UserError, match="no split is called 'dev'"):
        sample_starts(splits, "dev", 1, 0)
    for count, seed in ((0, 0), (1, -1)):
        with pytest.raises(UserError, match="count of at least 1 and a seed of at least 0"):
            sample_starts(splits, "train", count, seed)


@pytest.mark.parametrize("text", ["start\n3\n0\n9\n", "3\n0\n9", "3\r\n\r\n0\r\n9\r\n"])
@pytest.mark.parametrize("name", ["starts.csv", "starts.txt"])
def test_text_files_of_starts(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert read_starts(tmp_path / name, 10).tolist() == [3, 0, 9]


def test_array_files_of_starts(tmp_path: Path) -> None:
    np.save(tmp_path / "starts.npy", np.array([3, 0, 9], dtype=np.int32))
    starts = read_starts(tmp_path / "starts.npy", 10)
    assert starts.dtype == np.int64
    assert starts.tolist() == [3, 0, 9]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("start\n3\n10\n", "row 3: start 10 is outside 0 to 9"),
        ("-1\n", "row 1: start -1 is outside"),
        ("3\n4.5\n", "row 2: '4.5' is no whole number"),
        ("3\nstart\n", "row 2: 'start' is no whole number"),
        ("3,4\n", "row 1: '3,4' is no whole number"),
        ("9" * 30, "is no whole number"),
        ("start\n", "no starts"),
        ("", "is empty"),
    ],
)
def test_bad_text_files_of_starts(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "starts.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_starts(path, 10)


@pytest.mark.parametrize("array", [np.array([1.0]), np.array([[1]]), np.array([1, 10]), np.array([True])])
def test_bad_array_files_of_starts(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "starts.npy", array)
    with pytest.raises(UserError, match=r"whole numbers|outside"):
        read_starts(tmp_path / "starts.npy", 10)


def test_damaged_or_absent_array_files(tmp_path: Path) -> None:
    path = tmp_path / "starts.npy"
    with pytest.raises(UserError, match="cannot read"):
        read_starts(path, 10)
    path.write_bytes(b"not an array")
    with pytest.raises(UserError, match=r"not a readable \.npy"):
        read_starts(path, 10)


def test_all_starts_are_the_rows_of_the_split_and_a_number_draws_from_them() -> None:
    splits = Splits(train=(0, 3), validation=(3, 7), test=(7, 20))
    assert select_starts(splits, "validation", "all", seed=5).tolist() == [3, 4, 5, 6]
    np.testing.assert_array_equal(
        select_starts(splits, "test", 6, seed=5), sample_starts(splits, "test", 6, seed=5)
    )
