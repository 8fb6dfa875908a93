"""The figures of the reference environment on the real trace; see tests/golden/README.md."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import reference_simulator as reference
from reference_simulator import Size, Vm

from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.problems.vm_scheduling.simulator import (
    Cluster,
    Heuristic,
    Lanes,
    Workload,
    lower_bounds,
    probe_vm_counts,
    run_heuristic,
)
from spane_rllib.problems.vm_scheduling.simulator.rules import NOW

GOLDEN = Path(__file__).parents[2] / "golden"
TOTALS = np.genfromtxt(GOLDEN / "vm_scheduling_totals.csv", delimiter=",", names=True)
RECORDED = np.genfromtxt(
    GOLDEN / "vm_scheduling_balance_fit_N5_start20000.csv", delimiter=",", names=True, dtype=None
)
ROUNDED = 5.1e-7  # the figures have six decimals


@pytest.fixture(scope="module")
def workload(huawei_trace: VmTrace) -> Workload:
    return Workload(huawei_trace, Cluster())


@pytest.mark.parametrize("servers", [2, 3, 5, 8])
def test_totals_of_the_reference_environment(workload: Workload, servers: int) -> None:
    rows = TOTALS[TOTALS["servers"] == servers]
    assert len(rows) == 24
    cluster, starts = Cluster(servers), rows["start"].astype(int)
    counts = probe_vm_counts(workload, cluster, starts)
    assert counts.tolist() == rows["vm_count"].tolist()
    bounds = lower_bounds(workload, cluster, starts, counts)
    for name, column in (("first-fit", "first_fit"), ("balance-fit", "balance_fit")):
        results = run_heuristic(workload, cluster, Heuristic(name), starts, counts)
        assert results.total_wait.tolist() == rows[f"{column}_total_wait_s"].tolist()
        np.testing.assert_allclose(results.episode_return, rows[f"{column}_return"], rtol=0, atol=ROUNDED)
        assert results.placed.tolist() == counts.tolist()
        assert (bounds <= results.total_wait).all()


def test_every_decision_of_the_recorded_episode(workload: Workload) -> None:
    lanes = Lanes(workload, Cluster(5))
    lanes.reset([0], RECORDED["vm_index"][0], len(RECORDED))
    trace = workload.trace
    for row in RECORDED:
        vm, half = row["vm_index"], 2.0  # a unit is half a core or GiB
        assert lanes.running[0]
        assert (trace.cpu[vm], trace.memory[vm], trace.arrival[vm]) == (
            row["cpu"],
            row["mem"],
            row["arrival_s"],
        )
        assert (lanes.state.free[0].sum(axis=1) / half).tolist() == [
            row["free_cpu_before"],
            row["free_mem_before"],
        ]
        assert lanes.observations.request[0, 2] == row["is_double"]
        assert lanes.observations.action_mask[0].sum() == row["feasible_actions"]
        assert lanes.state.clocks[0, NOW] == row["placed_s"]
        return_before = lanes.results().episode_return[0]
        lanes.step(np.array([row["action"]]))
        assert lanes.wait[0] == row["wait_s"]
        reward = lanes.results().episode_return[0] - return_before
        assert reward == pytest.approx(row["reward"], abs=ROUNDED)
    assert not lanes.running[0]
    assert lanes.results().total_wait[0] == RECORDED["wait_s"].sum()


def test_the_plain_simulator_of_these_tests_agrees_with_the_recording(huawei_trace: VmTrace) -> None:
    # It is what the compiled one is compared with on random traces, so it must be right itself.
    rows = slice(RECORDED["vm_index"][0], RECORDED["vm_index"][-1] + 2)

    def columns(*names: str) -> list[npt.NDArray[np.float64]]:
        return [getattr(huawei_trace, name)[rows] for name in names]

    vms = [
        Vm(Size(Fraction(cpu), Fraction(memory)), arrival, lifetime, memory > 10)
        for cpu, memory, arrival, lifetime in zip(
            *columns("cpu", "memory", "arrival", "lifetime"), strict=True
        )
    ]
    episode = reference.simulate(vms, 5, Size(Fraction(40), Fraction(90)), reference.balance_fit)
    assert [decision.slot for decision in episode.decisions] == RECORDED["action"].tolist()
    assert [decision.wait for decision in episode.decisions] == RECORDED["wait_s"].tolist()
