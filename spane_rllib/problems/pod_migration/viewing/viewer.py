"""How recorded episodes are read, compared and drawn. Light until asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from spane_rllib.core.errors import UserError
from spane_rllib.core.settings import Settings, validated
from spane_rllib.problems.viewing import Animation, Viewer

Pair = Annotated[list[float], Field(min_length=2, max_length=2)]
Index = Annotated[int, Field(ge=0)]


class RecordedWindow(Settings):
    """A window: moves [pod, node] before it, and what it came to."""

    moves: list[Annotated[list[Index], Field(min_length=2, max_length=2)]]
    requests: Index
    demand: Pair
    peak: list[Pair]
    pods: list[Pair]
    violations: Index
    unsatisfied: Index


class RecordedEpisode(Settings):
    """An episode of a policy, as `recorder.record_day` writes it."""

    policy: str
    trace: str
    cluster: str
    start: Index
    window_s: float
    overload: float
    node_names: Annotated[list[str], Field(min_length=1)]
    pod_names: Annotated[list[str], Field(min_length=1)]
    capacity: list[Pair]
    own: list[Pair]
    placement: list[Index]
    windows: Annotated[list[RecordedWindow], Field(min_length=1)]


class PodViewer(Viewer):
    """Recordings of `evaluate --record` (`.json`)."""

    modules = ("pod_episode.js", "pod_nodes.js", "pod_main.js")

    def read(self, file: Path, content: Mapping[str, Any]) -> RecordedEpisode:
        recording = validated(RecordedEpisode, content, str(file))
        nodes, pods = len(recording.node_names), len(recording.pod_names)
        sizes = {
            "capacity": (len(recording.capacity), nodes),
            "own": (len(recording.own), pods),
            "placement": (len(recording.placement), pods),
            **{f"windows[{at}].peak": (len(one.peak), nodes) for at, one in enumerate(recording.windows)},
            **{f"windows[{at}].pods": (len(one.pods), pods) for at, one in enumerate(recording.windows)},
        }
        for name, (found, wanted) in sizes.items():
            if found != wanted:
                raise UserError(f"{file}: {name} has {found} entries instead of {wanted}; record it again")
        moves = [move for window in recording.windows for move in window.moves]
        if max([*recording.placement, *(node for _, node in moves)]) >= nodes or any(
            pod >= pods for pod, _ in moves
        ):
            raise UserError(f"{file}: a pod or node that there is not; record it again")
        return recording

    def check_pair(self, first: RecordedEpisode, second: RecordedEpisode) -> None:
        """They must be of the same windows on the same cluster."""
        for name in ("trace", "cluster", "start", "pod_names", "node_names"):
            if getattr(first, name) != getattr(second, name) or len(first.windows) != len(second.windows):
                raise UserError(
                    f"{first.policy} (start {first.start}) and {second.policy} (start {second.start}) are "
                    "not of the same windows; give two recordings of one trace, cluster and start"
                )

    def animation(self, recordings: Sequence[RecordedEpisode]) -> Animation:
        from spane_rllib.problems.pod_migration.viewing.animation import PodAnimation

        animation: Any = PodAnimation(recordings)
        return animation
