"""Names of evaluated parts: a hash of all that decides the episodes in them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from spane_rllib import __version__
from spane_rllib.problems.vm_scheduling.networks.weights import MODEL_FILE, WEIGHTS_FILE
from spane_rllib.problems.vm_scheduling.simulator import Cluster
from spane_rllib.problems.vm_scheduling.traces.trace import VmTrace


def part_key(
    policy: str, trace: VmTrace, starts: npt.NDArray[np.int64], clusters: Sequence[Cluster], seed: int
) -> str:
    """16 hexadecimal digits; `policy` names heuristics, or is the `model_digest` of a model."""
    identity = {
        "policy": policy,
        "trace": trace.sha256,
        "starts": hashlib.sha256(starts.astype("<i8").tobytes()).hexdigest(),
        "clusters": [vars(cluster) for cluster in clusters],
        "seed": seed,
        "version": __version__,
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def model_digest(model: str | Path) -> str:
    """Hash of what a model's directory holds, wherever it lies."""
    content = b"".join(Path(model, name).read_bytes() for name in (WEIGHTS_FILE, MODEL_FILE))
    return hashlib.sha256(content).hexdigest()
