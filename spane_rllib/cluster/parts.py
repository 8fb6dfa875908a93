"""Wait-time evaluations as Ray jobs, one per model, whose results meet on storage the nodes share."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from spane_rllib.core.console import Progress
from spane_rllib.core.errors import UserError
from spane_rllib.evaluate import Episodes
from spane_rllib.problems.vm_scheduling.heuristic_names import HEURISTICS
from spane_rllib.problems.vm_scheduling.part_keys import model_digest, part_key
from spane_rllib.problems.vm_scheduling.pretrained import SUFFIX, model_folder
from spane_rllib.problems.vm_scheduling.waits.evaluation import EPISODE_COLUMNS, read_episodes

if TYPE_CHECKING:
    import pandas as pd


class JobQueue(Protocol):
    """What `run_parts` needs of `client.Jobs`."""

    def status(self, submission_id: str) -> Any:
        """A `JobStatus`."""
        ...

    def unfinished(self) -> dict[str, Mapping[str, str]]:
        """Metadata of the jobs that wait or run, by submission id."""
        ...


@dataclass(frozen=True)
class Part:
    """What one job evaluates.

    Args:
        name: the model's directory as the user wrote it, or "heuristics".
        policies: names of the policies in tables.
        arguments: the same as `--policy` takes them on any node.
        folder: where the job writes; its name is a hash of all that decides the result.
        episodes: on what.
    """

    name: str
    policies: tuple[str, ...]
    arguments: tuple[str, ...]
    folder: Path
    episodes: Episodes

    @property
    def key(self) -> str:
        """Identifies the result."""
        return self.folder.name

    def frames(self) -> dict[tuple[str, int], pd.DataFrame] | None:
        """Episodes by policy and number of servers; None unless all of them are there."""
        starts, sizes = self.episodes.starts, [cluster.servers for cluster in self.episodes.clusters]
        try:
            table = read_episodes(self.folder / "episodes.csv")
        except UserError:  # absent or damaged
            return None
        if tuple(table.columns) != EPISODE_COLUMNS or len(table) != len(sizes) * len(self.policies) * len(
            starts
        ):
            return None
        frames = {}
        # The job calls a model by its absolute path; policies are known by their order.
        for block, (servers, policy) in enumerate((n, policy) for n in sizes for policy in self.policies):
            frame = table.iloc[block * len(starts) : (block + 1) * len(starts)].assign(policy=policy)
            if (frame["servers"] != servers).any() or (frame["start"].to_numpy() != starts).any():
                return None
            frames[policy, servers] = frame
        return frames


def make_parts(
    models: Sequence[str], heuristics: Sequence[str], episodes: Episodes, seed: int, output: Path
) -> list[Part]:
    """One part per model and one for all heuristics, in the order given.

    Raises:
        UserError: a model is damaged or made for another number of servers.
    """
    if wrong := [model for model in models if model in HEURISTICS]:
        raise UserError(f"{wrong[0]}: is a heuristic; name models here, and heuristics by --heuristics")

    def part(name: str, policies: Sequence[str], arguments: Sequence[str], identity: str) -> Part:
        key = part_key(identity, episodes.trace, episodes.starts, episodes.clusters, seed)
        return Part(name, tuple(policies), tuple(arguments), output / "parts" / key, episodes)

    parts = []
    for policy in episodes.load_policies(models):
        folder = model_folder(policy.name)
        # Shipped models go by name: the job has the package, but not in this place.
        argument = policy.name if policy.name.endswith(SUFFIX) else str(folder.absolute())
        parts.append(part(policy.name, [policy.name], [argument], model_digest(folder)))
    if heuristics:
        parts.append(part("heuristics", heuristics, heuristics, ",".join(heuristics)))
    return parts


def run_parts(
    jobs: JobQueue,
    parts: Sequence[Part],
    submit: Callable[[Part], str],
    *,
    parallel: int,
    retries: int,
    poll_s: float = 1.0,
) -> dict[str, str]:
    """Have every part that is not finished evaluated by a job, at most `parallel` at the same time.

    Jobs that an earlier call has left running are waited for. A part whose job fails is submitted again up to
    `retries` times. Returns the last submission id of each part that failed for good, by its name.
    """
    distinct = {part.key: part for part in parts}  # equal models share a result
    missing = {key: part for key, part in distinct.items() if part.frames() is None}
    running = {
        submission_id: missing[metadata["part"]]
        for submission_id, metadata in jobs.unfinished().items()
        if metadata.get("part") in missing and metadata.get("folder") == str(missing[metadata["part"]].folder)
    }
    adopted = {part.key for part in running.values()}
    waiting = deque(part for key, part in missing.items() if key not in adopted)
    attempts: Counter[str] = Counter()
    failed: dict[str, str] = {}
    progress = Progress("evaluated", len(distinct), "parts")
    while waiting or running:
        while waiting and len(running) < parallel:
            part = waiting.popleft()
            running[submit(part)] = part
        left = len(waiting) + len(running) + len(failed)
        progress.update(len(distinct) - left, f"{len(running)} jobs at work")
        time.sleep(poll_s)
        for submission_id, part in list(running.items()):
            if not jobs.status(submission_id).is_terminal():
                continue
            del running[submission_id]
            if part.frames() is not None:
                continue
            attempts[part.key] += 1
            if attempts[part.key] <= retries:
                waiting.append(part)
            else:
                failed[part.name] = submission_id
    progress.update(len(distinct) - len(failed))
    return failed


def collect(parts: Sequence[Part]) -> pd.DataFrame:
    """The episodes of all parts in the order of `python -m spane_rllib.evaluate`."""
    import pandas as pd

    frames: dict[tuple[str, int], pd.DataFrame] = {}
    for part in parts:
        found = part.frames()
        if found is None:
            raise UserError(f"{part.folder}: the result of {part.name} has gone; call the command again")
        frames |= found
    sizes = [cluster.servers for cluster in parts[0].episodes.clusters]
    policies = [policy for part in parts for policy in part.policies]
    return pd.concat([frames[policy, n] for n in sizes for policy in policies], ignore_index=True)
