"""VMs that no empty server can hold."""

import numpy as np
import pytest

from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.problems.vm_scheduling.placement import drop_unplaceable, placeable


def vm(cpu: float, memory: float) -> VmTrace:
    return VmTrace(*(np.array([value], dtype=float) for value in (cpu, memory, 0, 1)))


@pytest.mark.parametrize(
    ("cpu", "memory", "fits"),
    [
        (40, 10, True),  # whole, fills the CPU of one node
        (41, 10, False),  # whole: the other node does not help
        (80, 180, True),  # halves fill both nodes
        (81, 180, False),
        (80, 181, False),
        (41, 10.5, True),  # above the threshold: halves
    ],
)
def test_empty_server_of_two_nodes(cpu: float, memory: float, fits: bool) -> None:
    assert placeable(vm(cpu, memory), np.array([memory > 10]), [(40, 90)]).tolist() == [fits]


def test_one_kind_of_server_that_holds_a_vm_is_enough() -> None:
    sizes = [(40, 20), (10, 90)]
    assert placeable(vm(40, 10), np.array([False]), sizes).tolist() == [True]
    assert placeable(vm(10, 90), np.array([False]), sizes).tolist() == [True]
    assert placeable(vm(40, 90), np.array([False]), sizes).tolist() == [False]


def test_sizes_that_differ_by_a_rounding_error_are_equal() -> None:
    assert placeable(vm(0.1 + 0.2, 1), np.array([False]), [(0.3, 1)]).tolist() == [True]


def test_dropping_removes_what_fits_nowhere(trace: VmTrace) -> None:
    double = trace.memory > 10
    kept, dropped = drop_unplaceable(trace, double, [(30, 90)])
    assert dropped == 1
    assert kept.cpu.tolist() == [1, 4, 1]
    assert kept.name == "four"
    assert drop_unplaceable(trace, double, [(40, 90)]) == (trace, 0)
