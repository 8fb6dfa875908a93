"""The environment of VM rescheduling: strings only, so that `import spane_rllib` stays cheap."""

from __future__ import annotations

from spane_rllib.problems.environments import EnvironmentSpec

VM_RESCHEDULING = {
    "spane_rllib/VMRescheduling-v0": EnvironmentSpec(
        "spane_rllib.problems.vm_rescheduling.environment.env:VMReschedulingEnv"
    )
}
