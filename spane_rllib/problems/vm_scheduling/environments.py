"""The environments of VM scheduling: strings only, so that `import spane_rllib` stays cheap."""

from __future__ import annotations

from spane_rllib.problems.environments import EnvironmentSpec

_WAITS = "spane_rllib.problems.vm_scheduling.waits"
_ALLOCATIONS = "spane_rllib.problems.vm_scheduling.allocations"

CHOICE = "spane_rllib/VMChoice-v0"
WAITS = {
    "spane_rllib/VMScheduling-v0": EnvironmentSpec(
        f"{_WAITS}.env:VMSchedulingEnv", f"{_WAITS}.vector_env:VMSchedulingVectorEnv"
    ),
    CHOICE: EnvironmentSpec(f"{_WAITS}.choice_env:VMChoiceEnv"),
}


def _allocations(**keywords: str) -> EnvironmentSpec:
    return EnvironmentSpec(
        f"{_ALLOCATIONS}.env:AllocationEnv", f"{_ALLOCATIONS}.vector_env:AllocationVectorEnv", keywords
    )


ALLOCATIONS = {
    "spane_rllib/Allocation-v0": _allocations(),  # takes any scenario; the others are those that are shipped
    "spane_rllib/Fading-v0": _allocations(scenario="fading"),
    "spane_rllib/Recovering-v0": _allocations(scenario="recovering"),
    "spane_rllib/RecoveringL-v0": _allocations(scenario="recovering-l"),
    # Agents without masks choose servers that are not there yet: no error here.
    "spane_rllib/Expanding-v0": _allocations(scenario="expanding", infeasible_action="terminate"),
}
