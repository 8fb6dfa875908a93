"""What pods use, as `kubectl top pods -A --no-headers` prints it: namespace, name, CPU, memory."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from spane_rllib.core.errors import UserError, one_line
from spane_rllib.datasets.text import read_text
from spane_rllib.problems.pod_migration.clusters.cluster import PodCluster
from spane_rllib.problems.pod_migration.clusters.kubectl import GIB, quantity


def read_usage(path: str | os.PathLike[str], cluster: PodCluster) -> npt.NDArray[np.float64]:
    """(P, 2) cores and GiB that each pod uses; what it asks for where the file does not say.

    Raises:
        UserError: the file cannot be read, a line is no such line, or no pod of the cluster is in it.
    """
    number = {name: pod for pod, name in enumerate(cluster.pod_names)}
    usage, found = cluster.requests.copy(), 0
    for row, line in enumerate(read_text(Path(path), in_lines=True).split("\n"), start=1):
        words = line.split()
        if not words or words[0] == "NAMESPACE":
            continue
        where = f"{path}, row {row}"
        if len(words) != 4:
            raise UserError(
                one_line(
                    f"{where}: {line[:60]!r} is not namespace, name, CPU and memory of a pod; write it with "
                    "kubectl top pods -A --no-headers"
                )
            )
        pod = number.get(f"{words[0]}/{words[1]}", number.get(words[1]))
        if pod is not None:
            usage[pod] = quantity(words[2], where), quantity(words[3], where) / GIB
            found += 1
    if not found:
        raise UserError(f"{path}: no pod of the cluster {cluster.name} is in it")
    return usage
