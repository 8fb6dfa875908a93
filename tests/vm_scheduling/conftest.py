"""Traces for the environments' tests."""

import numpy as np
import pytest

from spane_rllib.datasets.vm_traces.trace import VmTrace


@pytest.fixture(scope="session")
def trace() -> VmTrace:
    """400 VMs in bursts that keep a few servers full: episodes with many waits and double VMs."""
    rng = np.random.default_rng(0)
    flavours = np.array([(1, 2), (2, 4), (4, 8), (8, 16), (16, 32), (32, 64), (64, 128)], float)
    sizes = flavours[rng.choice(7, 400, p=[0.25, 0.2, 0.2, 0.15, 0.1, 0.07, 0.03])]
    arrival = np.sort(rng.integers(0, 8_000, 400)).astype(float)
    return VmTrace(sizes[:, 0], sizes[:, 1], arrival, rng.integers(1, 3_000, 400).astype(float), "bursts")


@pytest.fixture(scope="session")
def tiny_trace() -> VmTrace:
    """Four VMs to be followed by hand on one server of 2 x (4 cpu, 8 GiB); the last row is never placed.

    VM 1 is double: 2 cpu x 6 GiB on each node.
    """
    return VmTrace(
        cpu=np.array([2.0, 4.0, 3.0, 1.0, 1.0]),
        memory=np.array([2.0, 12.0, 4.0, 1.0, 1.0]),
        arrival=np.array([0.0, 0.0, 1.0, 2.0, 500.0]),
        lifetime=np.array([10.0, 20.0, 5.0, 5.0, 1.0]),
        name="tiny",
    )
