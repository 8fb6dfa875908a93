"""VM rescheduling as a task: mappings, and who plans for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spane_rllib.core.errors import UserError
from spane_rllib.core.plugins import is_plugin
from spane_rllib.core.settings import validated
from spane_rllib.core.words import near_miss
from spane_rllib.problems.problem import Identity, Task
from spane_rllib.problems.vm_rescheduling.evaluation import RescheduleEvaluation
from spane_rllib.problems.vm_rescheduling.mappings.loading import Mappings
from spane_rllib.problems.vm_rescheduling.planners.names import planner
from spane_rllib.problems.vm_rescheduling.policies import ReschedulePolicy
from spane_rllib.problems.vm_rescheduling.settings import RescheduleSettings

if TYPE_CHECKING:
    from torch import nn

    from spane_rllib.learning.run import Run
    from spane_rllib.problems.vm_rescheduling.problem import RescheduleProblem


class RescheduleTask(Task):
    """Mappings of one source.

    Args:
        problem: whose task it is.
        instance: what is rescheduled.
    """

    problem: RescheduleProblem

    def __init__(self, problem: RescheduleProblem, instance: RescheduleSettings) -> None:
        self.problem, self.instance = problem, instance
        self.mappings = Mappings(instance.mappings, instance.machines)
        what = f"{'synthetic ' if self.mappings.synthetic else ''}mappings {instance.mappings}"
        if instance.machines:
            what += f" of {instance.machines} machines"
        self.identity = Identity(
            instance.mappings,
            self.mappings.sha256,
            0 if self.mappings.synthetic else len(self.mappings.files),
            f"{what}, sha256 {self.mappings.sha256}, objective {instance.objective}",
        )

    @property
    def environment(self) -> tuple[str, dict[str, Any]]:
        return next(iter(self.problem.environments)), self.instance.model_dump(mode="json")

    def build_network(self, kind: str, options: Mapping[str, Any], seed: int) -> nn.Module:
        from spane_rllib.learning.networks import build_kind
        from spane_rllib.problems.vm_rescheduling.networks.building import build

        kinds, make = self.problem.networks, partial(build, kind)
        return build_kind(kinds, kind, options, make, lambda: self.instance, seed)

    def begin_run(
        self, network: Any, settings: Any, validation: Any, seed: int, target: nn.Module | None = None
    ) -> Run:
        from spane_rllib.problems.vm_rescheduling.training import begin

        return begin(self, network, settings, validation, seed)

    def validate_baselines(self, names: Sequence[str], validation: Any) -> dict[str, float]:
        from spane_rllib.problems.vm_rescheduling.training import PLANNING_SECONDS

        limit, seed = self.instance.migrations, validation.seed
        numbers = self.mappings.draw("validation", validation.episodes, seed)
        evaluation = RescheduleEvaluation(self, (limit,), numbers, PLANNING_SECONDS, seed, "validation")
        return evaluation.means([self.load_policy(name) for name in names], "fragment_rate_after")

    def save_model(
        self,
        directory: str | Path,
        network: Any,
        *,
        seed: int,
        metrics: Mapping[str, float | None],
        training: Mapping[str, Any],
    ) -> None:
        from spane_rllib.problems.environment_task import save_trained

        instance = self.instance.model_dump(mode="json")
        save_trained(directory, network, self.problem, instance, seed, metrics, training)

    def load_policy(self, text: str, name: str | None = None) -> ReschedulePolicy:
        called = name or text.rstrip("/")
        if text in self.problem.baselines:
            return ReschedulePolicy(called, text, partial(planner, text))
        if text and Path(text).exists():
            from spane_rllib.learning.models import ModelFile, load_model, model_identity
            from spane_rllib.problems.environment_task import EnvironmentMetadata
            from spane_rllib.problems.vm_rescheduling.planners.learned import LearnedPlanner

            network, _ = load_model(text, ModelFile[EnvironmentMetadata], self._rebuild)
            return ReschedulePolicy(
                called, model_identity(text, network), partial(LearnedPlanner, network.eval())
            )
        if is_plugin(text):
            from spane_rllib.problems.acting import load_acting_policy
            from spane_rllib.problems.vm_rescheduling.planners.own import OwnPlanner

            own = load_acting_policy(text)
            return ReschedulePolicy(called, own.identity, partial(OwnPlanner, text, own.make))
        raise UserError(
            f"policy {text!r}: neither a planner ({', '.join(self.problem.baselines)}), nor the directory of "
            f"a saved model, nor module:Class{near_miss(text, self.problem.baselines)}"
        )

    def _rebuild(self, file: Any) -> nn.Module:
        """The network of a model file; it plays mappings of any size."""
        from spane_rllib.problems.environment_task import check_model_of

        check_model_of(file, self.problem.name)
        return self.build_network(file.kind, file.options, seed=0)

    def evaluation(self, settings: Any) -> RescheduleEvaluation:
        task = self
        if getattr(settings, "machines", None) is not None:
            fields = self.instance.model_dump() | {"machines": settings.machines}
            task = RescheduleTask(self.problem, validated(RescheduleSettings, fields))
        cases = settings.migration_limit or (self.instance.migrations,)
        numbers = task.mappings.draw(settings.split, settings.episodes, settings.seed)
        chosen = f"{len(numbers):,} mappings of the {settings.split} split, seed {settings.seed}"
        return RescheduleEvaluation(task, cases, numbers, settings.seconds, settings.seed, chosen)
