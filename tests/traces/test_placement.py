"""VMs that no empty server can hold."""

import numpy as np
import pytest

from spane_rllib.core.errors import UserError
from spane_rllib.problems.vm_scheduling.traces.placement import check_fits, drop_unplaceable, placeable
from spane_rllib.problems.vm_scheduling.traces.trace import VmTrace


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
    assert placeable(vm(cpu, memory), node_cpu=40, node_memory=90).tolist() == [fits]


def test_a_single_node_holds_no_split_vm() -> None:
    assert placeable(vm(4, 16), 40, 90, nodes=1).tolist() == [False]
    assert placeable(vm(4, 8), 40, 90, nodes=1).tolist() == [True]


def test_error_names_the_vm_and_dropping_removes_it(trace: VmTrace) -> None:
    check_fits(trace, 40, 90)
    with pytest.raises(
        UserError, match=r"four: VM 3 \(64 CPU, 128 GiB\) fits no empty server of 2 x \(30 CPU"
    ):
        check_fits(trace, 30, 90)
    kept, dropped = drop_unplaceable(trace, 30, 90)
    assert dropped == 1
    assert kept.cpu.tolist() == [1, 4, 1]
    assert kept.name == "four"
    check_fits(kept, 30, 90)
    assert drop_unplaceable(trace, 40, 90) == (trace, 0)
