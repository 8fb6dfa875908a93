"""Time per window of pod migration: `python -m benchmarks.pod_windows`."""

from __future__ import annotations

import time

import numpy as np

from spane_rllib.core.shared import provide
from spane_rllib.problems.pod_migration.clusters.cluster import equal_cluster
from spane_rllib.problems.pod_migration.instance import PodInstance
from spane_rllib.problems.pod_migration.settings import PodSettings
from spane_rllib.problems.pod_migration.simulator.episode import Episode

SIZES = ((10, 50), (100, 1000))
WINDOWS = 5000


def main() -> None:
    """Print the CPU time of a window for both sizes and both resource models."""
    for nodes, pods in SIZES:
        provide("benchmark", equal_cluster("benchmark", nodes, pods, 100.0, 5.0))
        for model in ("serial", "parallel"):
            settings = PodSettings(trace="synthetic", cluster="benchmark", resource_model=model)
            episode, windows = Episode(PodInstance(settings)), np.arange(WINDOWS)
            episode.count(windows)
            times = []
            for _ in range(5):
                begin = time.process_time()
                episode.count(windows)
                times.append(time.process_time() - begin)
            print(f"{nodes} nodes, {pods} pods, {model}: {min(times) / WINDOWS * 1e6:.1f} us")


if __name__ == "__main__":
    main()
