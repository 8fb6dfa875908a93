"""Whole episodes under heuristics, on clusters of several sizes, and the lower bound."""

from __future__ import annotations

import numpy as np

from benchmarks import plain_baseline
from benchmarks.clusters import five_server_episodes, large_episodes
from benchmarks.measuring import Row, in_child, seconds
from spane_rllib.datasets.vm_traces.loading import load_trace
from spane_rllib.datasets.vm_traces.splits import splits_of
from spane_rllib.problems.vm_scheduling.simulator import (
    FragmentationGradient,
    Heuristic,
    lower_bounds,
    run_heuristic,
)

GOALS = {
    ("first-fit", 5): (10.0, 15.0),
    ("balance-fit", 5): (10.0, 15.0),
    ("sbf", 5): (4.0, None),
    ("keep-64", 5): (1.0, None),
    ("fgd", 5): (1.0, None),
    ("first-fit", 20): (None, None),
    ("balance-fit", 20): (None, None),
    ("first-fit", 100): (5.0, 10.0),
    ("balance-fit", 100): (5.0, 10.0),
    ("first-fit", 1000): (1.0, 2.0),
    ("balance-fit", 1000): (3.0, None),
    ("sbf", 1000): (3.0, None),
    ("keep-64", 1000): (3.0, None),
    ("fgd", 1000): (3.0, None),
    ("balance-fit", 10_000): (None, None),
    ("sbf", 10_000): (None, None),
    ("keep-64", 10_000): (None, None),
    ("fgd", 10_000): (None, None),
}
"""Target and moonshot, million placements per second, by heuristic and number of servers."""


def measure(quick: bool) -> list[Row]:
    """All on one core."""
    return in_child(_measure, quick)


def _measure(quick: bool) -> list[Row]:
    repeats = 1 if quick else 5
    episodes = 20 if quick else 1000
    baseline = plain_baseline.placements_per_second(1 if quick else 10) / 1e6
    problems = {5: five_server_episodes(episodes)}
    rows = []
    for (name, servers), (target, moonshot) in GOALS.items():
        if quick and servers > 1000:
            continue  # making the trace would take most of the time
        if servers not in problems:
            problems[servers] = large_episodes(servers, 1 if quick else max(3, episodes * 5 // servers))
        workload, cluster, starts, vm_counts = problems[servers]
        if quick:
            vm_counts = np.minimum(vm_counts, 2000)
        trace = load_trace()
        gradient = FragmentationGradient.of_trace(trace, last=splits_of(trace).train[1])
        heuristic = Heuristic(name, gradient if name == "fgd" else None)

        def run() -> None:
            run_heuristic(workload, cluster, heuristic, starts, vm_counts)  # noqa: B023  # called at once

        placed = int(vm_counts.sum())
        rows.append(
            Row(
                "kernels",
                f"{name}, {servers:,} servers: placements",
                "M/s",
                tuple(placed / second / 1e6 for second in seconds(run, repeats)),
                target,
                moonshot,
                baseline if (name, servers) == ("first-fit", 5) else None,
            )
        )
    samples = seconds(lambda: lower_bounds(*problems[5]), repeats)
    return [*rows, Row("kernels", f"lower bound of {episodes:,} episodes", "s", samples, target=0.3)]
