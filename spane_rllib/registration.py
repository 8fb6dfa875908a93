"""Environment ids, registered with Gymnasium by `import spane_rllib`: strings only, nothing heavy loads."""

from __future__ import annotations

VM_SCHEDULING = "spane_rllib/VMScheduling-v0"
ALLOCATION = "spane_rllib/Allocation-v0"
SCENARIOS = {
    "spane_rllib/Fading-v0": "fading",
    "spane_rllib/Recovering-v0": "recovering",
    "spane_rllib/RecoveringL-v0": "recovering-l",
    "spane_rllib/Expanding-v0": "expanding",
}
"""The environments of the scenarios that are shipped; `ALLOCATION` takes any."""


def register_gymnasium_environments() -> None:
    """Make the environments known to `gymnasium.make` and `make_vec`; calling it again is harmless."""
    import gymnasium

    waits, allocations = (
        "spane_rllib.problems.vm_scheduling.waits",
        "spane_rllib.problems.vm_scheduling.allocations",
    )
    environments: dict[str, tuple[str, str, dict[str, str]]] = {
        VM_SCHEDULING: (waits, "VMScheduling", {}),
        ALLOCATION: (allocations, "Allocation", {}),
    }
    for name, scenario in SCENARIOS.items():
        environments[name] = allocations, "Allocation", {"scenario": scenario}
    for name, (package, prefix, keywords) in environments.items():
        if name not in gymnasium.registry:
            gymnasium.register(
                id=name,
                entry_point=f"{package}.env:{prefix}Env",
                vector_entry_point=f"{package}.vector_env:{prefix}VectorEnv",
                kwargs=keywords,
                # The simulator checks every action itself; the passive checker would cost 30 to 40 us a step.
                disable_env_checker=True,
                order_enforce=False,
            )
