"""Environment ids, registered with Gymnasium by `import spane_rllib`: strings only, nothing heavy loads."""

from __future__ import annotations

VM_SCHEDULING = "spane_rllib/VMScheduling-v0"


def register_gymnasium_environments() -> None:
    """Make the environments known to `gymnasium.make` and `make_vec`; calling it again is harmless."""
    import gymnasium

    if VM_SCHEDULING not in gymnasium.registry:
        gymnasium.register(
            id=VM_SCHEDULING,
            entry_point="spane_rllib.vm_scheduling.env:VMSchedulingEnv",
            vector_entry_point="spane_rllib.vm_scheduling.vector_env:VMSchedulingVectorEnv",
            # The simulator checks every action itself; the passive checker would cost 30 to 40 us a step.
            disable_env_checker=True,
            order_enforce=False,
        )
