"""How recorded plans are read, compared and drawn. Light until asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from spane_rllib.core.errors import UserError
from spane_rllib.core.settings import Settings, validated
from spane_rllib.problems.viewing import Animation, Viewer

Index = Annotated[int, Field(ge=0)]
Node = Annotated[int, Field(ge=0, le=2)]


class RecordedPlan(Settings):
    """A plan, as `recorder.record_plan` writes it: node 2 stands for both."""

    policy: str
    mapping: str
    objective: str
    migration_limit: Index
    hosts: Annotated[list[str], Field(min_length=1)]
    capacity: list[Annotated[list[Index], Field(min_length=2, max_length=2)]]
    vm_names: list[str]
    cores: list[Index]
    placement: list[Annotated[list[Index], Field(min_length=2, max_length=2)]]
    moves: list[Annotated[list[Index], Field(min_length=3, max_length=3)]]
    rates: list[float]


class PlanViewer(Viewer):
    """Recordings of `evaluate --record` (`.json`)."""

    modules = ("plan_episode.js", "plan_machines.js", "plan_main.js")

    def read(self, file: Path, content: Mapping[str, Any]) -> RecordedPlan:
        recording = validated(RecordedPlan, content, str(file))
        hosts, vms = len(recording.hosts), len(recording.vm_names)
        places = [*recording.placement, *(move[1:] for move in recording.moves)]
        if (
            len(recording.capacity) != hosts
            or {len(recording.cores), len(recording.placement)} != {vms}
            or len(recording.rates) != len(recording.moves) + 1
            or any(host >= hosts or node > 2 for host, node in places)
            or any(move[0] >= vms for move in recording.moves)
        ):
            raise UserError(f"{file}: its parts do not fit together; record it again")
        return recording

    def check_pair(self, first: RecordedPlan, second: RecordedPlan) -> None:
        """They must be plans for the same mapping."""
        if first.mapping != second.mapping:
            raise UserError(
                f"{first.policy} is about {first.mapping}, {second.policy} about {second.mapping}; give two "
                "plans for one mapping"
            )

    def animation(self, recordings: Sequence[RecordedPlan]) -> Animation:
        from spane_rllib.problems.vm_rescheduling.viewing.animation import PlanAnimation

        animation: Any = PlanAnimation(recordings)
        return animation
