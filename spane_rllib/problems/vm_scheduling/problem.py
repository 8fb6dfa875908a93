"""What the problems of waits and of allocations share: slots to choose, episodes from rows of a trace."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from spane_rllib.core.settings import Settings
from spane_rllib.problems.problem import Problem
from spane_rllib.problems.vm_scheduling import arguments
from spane_rllib.problems.vm_scheduling.heuristic_names import HEURISTICS
from spane_rllib.problems.vm_scheduling.networks.options import MAX_MLP_SERVERS, NETWORK_OPTIONS
from spane_rllib.problems.vm_scheduling.settings import SlotEvaluationSettings
from spane_rllib.problems.vm_scheduling.viewing.viewer import ScheduleViewer


class SlotProblem(Problem):
    """A problem whose tasks are `task.SlotTask`s."""

    evaluation = SlotEvaluationSettings
    networks: Mapping[str, type[Settings]] = NETWORK_OPTIONS
    baselines = HEURISTICS
    viewer = ScheduleViewer()
    case = "servers"
    case_text = "{} servers"
    pair = "start"
    changeable = ("trace", "evaluation.servers")

    def keywords_of(self, settings: Any) -> dict[str, Any]:
        """The reward."""
        return {"reward": settings.reward}

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        arguments.add_arguments(parser)

    def job_arguments(self, parsed: argparse.Namespace) -> list[str]:
        return arguments.job_arguments(parsed)

    def placed(self, settings: Any, data: str | None = None) -> Any:
        return arguments.placed(settings, data)


def check_fixed_sizes(config: Any, servers: int, stated: str, only: str, playable: bool) -> None:
    """Raise a `ValueError` if networks of a fixed size cannot have it, or nothing is evaluated.

    Args:
        config: an experiment.
        servers: the size of networks that have one.
        stated: where the configuration says so.
        only: what such networks can play.
        playable: whether that is evaluated.
    """
    fixed = [name for name, method in config.methods.items() if method.network == "mlp"]
    if fixed and servers > MAX_MLP_SERVERS:
        raise ValueError(
            f"methods.{fixed[0]}: network mlp can have at most {MAX_MLP_SERVERS} servers, but {stated}"
        )
    if len(fixed) == len(config.methods) and not config.evaluation.heuristics and not playable:
        raise ValueError(
            "evaluation: nothing to evaluate; there are no heuristics, and network mlp can only play "
            f"{only}, which evaluation.servers {list(config.evaluation.servers)} leaves out"
        )
