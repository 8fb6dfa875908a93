"""The made-up trace: valid, decided by its seed, and like Huawei-East-1 in what matters for scheduling."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spane_rllib.core.errors import UserError
from spane_rllib.datasets.vm_traces.synthetic import synthesize
from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.problems.vm_scheduling.placement import placeable


@pytest.fixture(scope="module")
def made() -> VmTrace:
    return synthesize(seed=5)


@settings(max_examples=25)
@given(vms=st.integers(1, 3000), seed=st.integers(0, 2**32))
def test_every_trace_is_valid_and_decided_by_its_seed(vms: int, seed: int) -> None:
    trace = synthesize(vms, seed)
    assert len(trace) == vms
    assert (np.diff(trace.arrival) >= 0).all()
    assert (trace.arrival >= 0).all()
    assert (trace.lifetime >= 1).all()
    for times in (trace.arrival, trace.lifetime):
        assert (times == np.floor(times)).all()
    assert placeable(trace, trace.memory > 10, [(40, 90)]).all()
    assert synthesize(vms, seed).sha256 == trace.sha256


def test_seeds_differ() -> None:
    assert synthesize(100, 1).sha256 != synthesize(100, 2).sha256


@pytest.mark.parametrize(("vms", "seed"), [(0, 0), (-5, 0), (10**12, 0), (5, -1)])
def test_bad_arguments(vms: int, seed: int) -> None:
    with pytest.raises(UserError, match="vms of 1 to 10000000 and a seed of at least 0"):
        synthesize(vms, seed)


def test_sizes_like_huawei_east_1(made: VmTrace) -> None:
    published = {(1, 2): 0.464, (1, 1): 0.219, (2, 4): 0.128, (4, 8): 0.080, (1, 4): 0.029, (2, 8): 0.020}
    for (cpu, memory), share in published.items():
        assert np.mean((made.cpu == cpu) & (made.memory == memory)) == pytest.approx(share, rel=0.2)
    giants = (made.cpu == 64) & (made.memory == 128)
    assert np.mean(giants) == pytest.approx(0.0022, rel=0.5)
    assert np.median(made.lifetime[giants]) == pytest.approx(40_000, rel=0.3)


def test_lifetimes_like_huawei_east_1(made: VmTrace) -> None:
    quartiles = np.percentile(made.lifetime, [25, 50, 75])
    assert quartiles == pytest.approx([194, 2592, 6651], rel=0.4)
    assert made.lifetime.mean() == pytest.approx(17_192, rel=0.5)
    assert 1e6 < made.lifetime.max() < 5e6


def test_arrivals_come_in_bursts_of_one_size(made: VmTrace) -> None:
    assert made.arrival[-1] / len(made) == pytest.approx(23.0, rel=0.05)
    together = np.diff(made.arrival) == 0
    assert np.mean(together) == pytest.approx(0.45, abs=0.1)
    same_size = (np.diff(made.cpu) == 0) & (np.diff(made.memory) == 0)
    assert same_size[together].mean() > 0.9
    log_ratio = np.abs(np.diff(np.log(made.lifetime)))
    assert np.median(log_ratio[together & same_size]) < 0.3 * np.median(log_ratio[~together])


def test_arrivals_follow_the_day(made: VmTrace) -> None:
    by_hour = np.bincount((made.arrival % 86_400 // 3600).astype(int), minlength=24)
    assert by_hour[1:5].mean() > 2 * by_hour[13:17].mean()
