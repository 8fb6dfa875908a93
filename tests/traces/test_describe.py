"""Descriptions against numbers worked out by hand."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spane_rllib.datasets.vm_traces.describe import DAY_S, demand_steps, describe, plot
from spane_rllib.datasets.vm_traces.trace import VmTrace


def test_statistics(trace: VmTrace) -> None:
    summary = describe(trace)
    assert summary.lifetime_quartiles == (16.25, 25.0, 47.5)
    assert (summary.lifetime_mean, summary.lifetime_maximum) == (38.75, 100)
    assert (summary.first_arrival, summary.arrival_span, summary.arrivals_per_hour) == (0, 40, 360)
    assert summary.same_second_share == pytest.approx(1 / 3)
    flavour = summary.flavours[0]
    assert (flavour.cpu, flavour.memory, flavour.count, flavour.share, flavour.median_lifetime) == (
        1,
        2,
        2,
        0.5,
        17.5,
    )
    assert [f.cpu for f in summary.flavours] == [1, 4, 64]


def test_demand(trace: VmTrace) -> None:
    # VM 0 runs in [0, 30), VM 1 in [10, 30), VM 2 in [10, 15), VM 3 from 40 on.
    times, cpu = demand_steps(trace, trace.cpu)
    assert times.tolist() == [0, 10, 15, 30, 40]
    assert cpu.tolist() == [1, 6, 5, 0, 64]
    load = describe(trace).load["CPU"]
    # 0 for 10 s, 1 for 10 s, 5 for 15 s, 6 for 5 s; the value of the last moment has no width.
    assert (load.minimum, load.median, load.maximum) == (0, 1, 64)
    assert load.daily_mean == [(10 * 1 + 5 * 6 + 15 * 5) / 40]


def test_daily_means() -> None:
    trace = VmTrace(
        cpu=np.array([2.0, 4.0, 1.0]),
        memory=np.ones(3),
        arrival=np.array([DAY_S / 2, DAY_S, 2.5 * DAY_S]),
        lifetime=np.array([DAY_S, 0.25 * DAY_S, 1.0]),
    )
    # Day 0 from noon: 2. Day 1: 2 until noon and 4 until six. Day 2 until noon: 0.
    assert describe(trace).load["CPU"].daily_mean == pytest.approx([2, 2, 0])


def test_vms_that_never_end(trace: VmTrace) -> None:
    lifetime = np.array([30.0, 20.0, np.inf, np.inf])
    summary = describe(VmTrace(trace.cpu, trace.memory, trace.arrival, lifetime))
    assert summary.never_ending == 2
    assert summary.lifetime_mean == 25
    assert "4 VMs, 2 of them without an end" in summary.to_text()
    flavours = json.loads(summary.to_json())["flavours"]
    assert [flavour["median_lifetime"] for flavour in flavours] == [None, 20, None]


@pytest.mark.parametrize("lifetime", [5.0, np.inf])
def test_a_single_vm(lifetime: float) -> None:
    one = VmTrace(*(np.array([value]) for value in (1.0, 2.0, 7.0, lifetime)))
    summary = describe(one)
    assert summary.load["CPU"].maximum == 1
    assert "1 x 2" in summary.to_text()
    assert json.loads(summary.to_json())["vms"] == 1


@given(
    st.lists(st.tuples(st.integers(1, 8), st.integers(0, 50), st.integers(1, 50)), min_size=1, max_size=30)
)
def test_demand_equals_the_sum_over_running_vms(rows: list[tuple[int, int, int]]) -> None:
    cpu, arrival, lifetime = np.array(sorted(rows, key=lambda row: row[1]), dtype=float).T
    trace = VmTrace(cpu, np.ones(len(rows)), arrival, lifetime)
    for moment, value in zip(*demand_steps(trace, cpu), strict=True):
        running = (arrival <= moment) & (moment < arrival + lifetime)
        assert value == cpu[running].sum()


def test_a_trace_of_very_many_days_has_no_daily_table() -> None:
    ages = VmTrace(np.ones(2), np.ones(2), np.array([0.0, 2.0**53]), np.ones(2))
    assert describe(ages).load["CPU"].daily_mean == []
    assert "running VMs" in describe(ages).to_text()


@pytest.mark.parametrize("name", ["trace", "$\\frac$", "100$ to 200$_"])
def test_plot(trace: VmTrace, tmp_path: Path, name: str) -> None:
    plot(replace(trace, name=name), tmp_path / "trace.png")
    assert (tmp_path / "trace.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["trace.png"]
