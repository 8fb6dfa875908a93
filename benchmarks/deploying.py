"""Decisions of deployed policies: `spane_rllib.load_policy`."""

from __future__ import annotations

import numpy as np

from benchmarks.measuring import Row, in_child, seconds

POLICIES = ("first-fit", "keep-64", "best@pretrained", "spane@pretrained")


def measure(quick: bool) -> list[Row]:
    """Heuristics, a score and a network on a small and on a large cluster, on one core."""
    return in_child(_measure, quick)


def _measure(quick: bool) -> list[Row]:
    return [
        Row(
            "deploying",
            f"load_policy({policy!r}).act, {servers:,} servers",
            "us",
            _decision(policy, servers, repeats=1 if quick else 7, decisions=20 if quick else 1000),
            target,
        )
        for servers, target in ((5, 50.0), (1000, 1000.0))
        for policy in POLICIES
    ]


def _decision(policy: str, servers: int, repeats: int, decisions: int) -> tuple[float, ...]:
    """Microseconds of a decision on servers that are partly used."""
    import spane_rllib

    loaded = spane_rllib.load_policy(policy)
    random = np.random.default_rng(0)
    free = np.stack(
        [random.integers(0, 41, (servers, 2)), random.integers(0, 91, (servers, 2))], axis=2
    ).astype(float)
    vms = [spane_rllib.Vm(float(cpu), 2.0 * cpu) for cpu in random.choice([1, 2, 4, 8], decisions)]

    def decide() -> None:
        for vm in vms:
            loaded.act(free, vm)

    return tuple(elapsed / decisions * 1e6 for elapsed in seconds(decide, repeats))
