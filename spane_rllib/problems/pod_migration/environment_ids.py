"""The environments of pod migration: strings only, so that `import spane_rllib` stays cheap."""

from __future__ import annotations

from spane_rllib.problems.environments import EnvironmentSpec

_ROOM = "spane_rllib.problems.pod_migration.environments"

POD_MIGRATION = {
    "spane_rllib/PodMigration-v0": EnvironmentSpec(f"{_ROOM}.migration:PodMigrationEnv"),
    "spane_rllib/PodPlacement-v0": EnvironmentSpec(f"{_ROOM}.placement:PodPlacementEnv"),
}
