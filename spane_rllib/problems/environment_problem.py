"""Problems that are no more than a Gymnasium environment; docs/adding_a_problem.md makes one step by step."""

from __future__ import annotations

import argparse
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from spane_rllib.core.console import whole_number
from spane_rllib.core.errors import one_line
from spane_rllib.core.settings import one_of, validated
from spane_rllib.core.strict_yaml import parse_yaml
from spane_rllib.problems.measures import Statistic, Statistics
from spane_rllib.problems.problem import EpisodeSettings, Evaluation, Problem

if TYPE_CHECKING:
    import gymnasium
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    from torch import nn

    from spane_rllib.core.bootstrap import Resamples
    from spane_rllib.problems.environment_task import EnvironmentTask
    from spane_rllib.problems.problem import Block

Observation = Mapping[str, Any]
Baseline = Callable[[Observation, "np.random.Generator"], Any]
"""The action for an observation; what is random about it comes from the generator."""


class EnvironmentProblem(Problem):
    """A problem with one environment, whose keywords are the fields of `instance`.

    The environment draws an episode from the seed of `reset`, observes a `Dict` of arrays with `action_mask`,
    and reports what the problem is measured by in the info of the last step, by the name of the measure.
    Training takes seeds below 2^31, validation and evaluation two other ranges.

    Beside the attributes of `Problem` that have no default (not those set here), a subclass gives `case`, the
    field of `instance` that evaluations may vary: by `evaluation.<case>`, a list, if `evaluation` has that
    field, and by `--<case>`, which may be repeated.
    """

    case: ClassVar[str]

    def __init__(self) -> None:
        measure = self.measure
        self.statistics = Statistics(
            by_name={
                "mean": Statistic(f"mean {measure.title}", measure.text, measure.better),
                "median": Statistic("median", measure.text, measure.better),
            },
            headline="mean",
            compared=("mean", "median"),
            value=measure.name,
            reference=next(iter(self.baselines), ""),
        )
        case_type = self.instance.model_fields[self.case].annotation
        self.episode_columns = {
            "policy": str,
            self.case: case_type if case_type in (int, float) else str,  # type: ignore[dict-item]
            self.pair: int,
            "decisions": int,
            "return": float,
            measure.name: float,
        }

    @abstractmethod
    def build_network(self, kind: str, options: Any, spaces: gymnasium.spaces.Dict) -> nn.Module:
        """A network of one of the kinds in `networks`, for observations of these spaces.

        Draw weights from torch's random state, which is seeded for it. A network that takes every value of
        `case` says so by a true attribute `any_case`.
        """

    @abstractmethod
    def baseline(self, name: str) -> Baseline:
        """One of `baselines`, a function of an observation."""

    @property
    def environment(self) -> str:
        """Id of the environment."""
        return next(iter(self.environments))

    def check(self, config: Any) -> None:
        """Only baselines that there are can be compared with."""
        for name in config.evaluation.heuristics:
            try:
                one_of(name, self.baselines)
            except ValueError as error:
                raise ValueError(f"evaluation.heuristics: {error}") from error

    def load(self, settings: Any, shared: Mapping[str, Any] | None = None) -> EnvironmentTask:
        keywords = settings.model_dump(mode="json", include=set(self.instance.model_fields))
        return self.load_environment(self.environment, keywords)

    def load_environment(self, environment: str, keywords: Mapping[str, Any]) -> EnvironmentTask:
        from spane_rllib.problems.environment_task import EnvironmentTask

        return EnvironmentTask(self, validated(self.instance, dict(keywords), "env_config"))

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """An option for every field of the instance, and for the episodes."""
        for name, field in self.instance.model_fields.items():
            default = "needed" if field.is_required() else field.get_default(call_default_factory=True)
            parser.add_argument(
                _option(name),
                action="append" if name == self.case else "store",
                metavar="VALUE",
                help=f"{field.description or name} ({default}{'; repeatable' if name == self.case else ''})",
            )
        parser.add_argument(
            "--episodes", type=whole_number(1, 1_000_000), metavar="K", help="episodes of each policy (1000)"
        )
        parser.add_argument(
            "--seed",
            type=whole_number(0, 2**32 - 1),
            metavar="S",
            help="seed of drawn episodes and `random` (0)",
        )

    def evaluation_of(self, arguments: argparse.Namespace) -> Evaluation:
        given = {
            name: value
            for name in self.instance.model_fields
            if (value := getattr(arguments, name)) is not None
        }
        cases = [_value(self.case, text) for text in given.pop(self.case, [])]
        fields = {name: _value(name, text) for name, text in given.items()}
        if cases:
            fields[self.case] = cases[0]
        task = self.load(validated(self.instance, fields))
        episodes = {
            name: value for name in ("episodes", "seed") if (value := getattr(arguments, name)) is not None
        }
        return task.evaluation(validated(EpisodeSettings, episodes), cases)

    def summarize(self, episodes: pd.DataFrame) -> pd.DataFrame:
        import pandas as pd

        from spane_rllib.core.bootstrap import Resamples

        rows = []
        for (policy, case), group in episodes.groupby(["policy", self.case], sort=False):
            values = self.estimate(group, Resamples.none(len(group)))
            row = {"policy": policy, self.case: case, "episodes": len(group)}
            rows.append(row | {name: float(value[0]) for name, value in values.items()})
        return pd.DataFrame(rows, columns=["policy", self.case, "episodes", *self.statistics.by_name])

    def estimate(self, episodes: pd.DataFrame, resamples: Resamples) -> dict[str, npt.NDArray[np.float64]]:
        import numpy as np

        values = episodes[self.measure.name].to_numpy(np.float64)
        [median] = resamples.trimmed_means(values, (0.5,))
        return {"mean": resamples.means(values), "median": median}

    def report(self, episodes: pd.DataFrame, summary: pd.DataFrame, trials: pd.DataFrame) -> Iterator[Block]:
        # A figure of what every policy came to.
        from spane_rllib.core.plotting import policy_panels

        statistics = self.statistics
        ordered = summary.sort_values("mean", ascending=statistics.better == "less", kind="stable")
        figure, panels = policy_panels(ordered, self.case, text=self.case_text)
        for axis, group in panels:
            played = episodes[episodes[self.case] == group[self.case].iloc[0]]
            values = [played.loc[played["policy"] == name, self.measure.name] for name in group["policy"]]
            axis.boxplot(values, vert=False, positions=range(len(group)), showmeans=True, widths=0.6)
            axis.set_yticks(range(len(group)), group["policy"], fontsize="small")
        figure.supxlabel(f"{self.measure.name} of an episode; triangle: mean", fontsize="medium")
        yield "evaluation", figure


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _value(name: str, text: str) -> Any:
    return parse_yaml(text, one_line(f"argument {_option(name)}"))
