"""Writes `docs/configuration.md` from the descriptions in the typed configuration.

Run after a change:

    python -m spane_rllib.experiments.reports.configuration_reference > docs/configuration.md
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from spane_rllib.core.presets import presets_of
from spane_rllib.core.settings import Settings
from spane_rllib.experiments.policy_search.config import SearchConfig
from spane_rllib.experiments.studies.config import StudyConfig
from spane_rllib.experiments.tuning.config import ExperimentConfig, experiment_settings
from spane_rllib.experiments.tuning.search_space import KINDS
from spane_rllib.problems.problem import Problem
from spane_rllib.problems.registry import DEFAULT, find_problem, our_problems


def sections_of(problem: Problem) -> dict[str, type[Settings]]:
    """What an experiment about `problem` adds to the common sections, by title."""
    settings = experiment_settings(problem)
    own: dict[str, Any] = {
        name: settings.model_fields[name].annotation for name in ("validation", "evaluation")
    }
    parts: dict[str, Any] = {"Top level": problem.instance}
    parts |= {f"`{name}`": part for name, part in _parts(problem.instance)}
    for algorithm, section in problem.algorithms.items():
        parts[f"`training` and `methods.<name>.training` of the algorithm `{algorithm}`"] = section
    for kind, section in problem.networks.items():
        parts[f"`methods.<name>.options` of the network `{kind}`"] = section
    return {**parts, **{f"`{name}`": part for name, part in own.items()}}


def common_sections() -> dict[str, type[Settings]]:
    """The sections of every experiment, by title."""
    return {
        "Top level": ExperimentConfig,
        "`methods.<name>`": _method(find_problem(DEFAULT)),
        **{f"`{name}`": part for name, part in _parts(ExperimentConfig)},
    }


def _method(problem: Problem) -> type[Settings]:
    annotation: Any = experiment_settings(problem).model_fields["methods"].annotation
    method: type[Settings] = annotation.__args__[1]
    return method


def _title(preset: Path) -> str:
    """What the first comment of a preset says it is."""
    return preset.read_text(encoding="utf-8").partition("\n")[0].removeprefix("#").strip().rstrip(".:")


def _parts(section: type[BaseModel], inside: str = "") -> Iterator[tuple[str, type[Settings]]]:
    """The sections within a section, by key, those within these too."""
    for name, field in section.model_fields.items():
        for kind in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(kind, type) and issubclass(kind, Settings):
                yield f"{inside}{name}", kind
                yield from _parts(kind, f"{inside}{name}.")


def search_sections(problem: Problem) -> dict[str, type[Settings]]:
    """What a policy search holds, by title."""
    common = {"Policy search: top level": SearchConfig} | {
        f"Policy search: `{name}`": part for name, part in _parts(SearchConfig)
    }
    own: dict[str, type[Settings]] = {}
    for name, method in problem.searches.items():
        own[f"Policy search `{name}`: top level"] = method.settings
        own |= {f"Policy search `{name}`: `{key}`": part for key, part in _parts(method.settings)}
    return common | own


def study_sections() -> dict[str, type[Settings]]:
    """What every study holds, by title."""
    sections: dict[str, Any] = {"Study: top level": StudyConfig}
    sections |= {f"Study: `{name}`": part for name, part in _parts(StudyConfig)}
    for problem in our_problems():
        for name, study in problem.studies.items():
            sections[f"Study `{name}`: top level"] = study.settings
            sections |= {f"Study `{name}`: `{key}`": part for key, part in _parts(study.settings)}
    return sections


INTRODUCTION = """\
# Configuration of an experiment

<!-- Written by `python -m spane_rllib.experiments.reports.configuration_reference`; do not edit by hand. -->

`python -m spane_rllib.tune [CONFIG] [--set key=value ...]` runs one experiment: Ray Tune trains the trials of
each method, the best `evaluation.top_k` of each by validation meet the heuristics on unseen episodes, and
tables, figures and weights go to `<output>/<name>/`. `CONFIG` is a YAML file or the name of a preset:

| preset | experiment |
|---|---|
{presets}

- `--set training.gradient_steps=500` overrides one key; the value is YAML, and `--set` may be repeated.
- Unknown keys, values of another type or out of range, and keys that contradict each other are refused before
  anything starts, in one line that names the key; so is an invalid combination among the drawn ones.
- Anchors, aliases and tags of YAML are not supported. `1e-3` is a number.
- "Reference" below is the published SPANE code and its stored winning models
  ([arXiv 2504.14946](https://arxiv.org/abs/2504.14946)).

## Searching

Under `methods.<name>.options` and `methods.<name>.training` a key holds a value or a search distribution:

| written | drawn |
|---|---|
{distributions}

A method has one trial for each combination of its `grid`s, times `trials` samples of its other
distributions, times `seeds`. `seed`, the method's name and the position of a sample decide its values: more
trials or other methods leave earlier ones as they were.

```yaml
name: example
methods:
  spane:
    network: spane
    trials: 20
    options:
      value_width: {{randint: [4, 32]}}
      aggregations: {{choice: [[mean], [mean, max]]}}
    training:
      learning_rate: {{loguniform: [0.001, 0.1]}}
```
"""


POLICY_SEARCH_INTRODUCTION = """
# Configuration of a policy search

`python -m spane_rllib.search [CONFIG] [--set key=value ...]` looks for a placement score with CMA-ES
([policy_search.md](policy_search.md)). What is scheduled is said by the same keys as in an experiment.
"""

STUDY_INTRODUCTION = """
# Configuration of a study

`python -m spane_rllib.study CONFIG [--set key=value ...]` evaluates trained models beside heuristics, without
training ([evaluation.md](evaluation.md)). `CONFIG` is a YAML file or a preset. What is scheduled is said by
the same keys as in an experiment.
"""


def reference() -> str:
    """The page as Markdown."""
    example = {"choice": "[a, b, c]", "grid": "[a, b, c]"}
    text = INTRODUCTION.format(
        presets="\n".join(f"| `{name}` | {_title(file)} |" for name, file in presets_of().items()),
        distributions="\n".join(
            f"| `{{{kind}: {example.get(kind, '[low, high]')}}}` | {meaning} |"
            for kind, meaning in KINDS.items()
        ),
    )
    text += "".join(_table(title, section) for title, section in common_sections().items())
    for problem in our_problems():
        text += (
            f"\n# The problem `{problem.name}`\n\n{problem.title}. Measured by: {problem.measure.title}.\n"
        )
        text += "".join(_table(title, section) for title, section in sections_of(problem).items())
    for introduction, sections in (
        (POLICY_SEARCH_INTRODUCTION, search_sections(find_problem(DEFAULT))),
        (STUDY_INTRODUCTION, study_sections()),
    ):
        text += introduction + "".join(map(_table, sections, sections.values()))
    return text


def _table(title: str, section: type[Settings]) -> str:
    lines = [
        f"\n## {title}\n",
        f"{section.__doc__}\n",
        "| key | allowed | default | meaning |",
        "|---|---|---|---|",
    ]
    schema = section.model_json_schema()
    for key, field in schema["properties"].items():
        cells = [
            f"`{key}`",
            _allowed(field),
            _default(section, key),
            section.model_fields[key].description or "",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _default(section: type[Settings], key: str) -> str:
    field = section.model_fields[key]
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    if isinstance(default, Settings) or (
        isinstance(default, tuple) and any(isinstance(item, Settings) for item in default)
    ):
        return "see below"
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"


def _allowed(schema: dict[str, Any]) -> str:
    """The values that a JSON schema admits, in words."""
    if "anyOf" in schema:
        return " or ".join(_allowed(option) for option in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "prefixItems" in schema:
        return f"list of {len(schema['prefixItems'])}: {_allowed(schema['prefixItems'][0])}"
    match schema.get("type"):
        case "array":
            return f"{'non-empty ' if schema.get('minItems') else ''}list of {_allowed(schema['items'])}"
        case "integer" | "number" as kind:
            low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
            high, below = schema.get("maximum"), schema.get("exclusiveMaximum")
            lower = f"{low:,}" if low is not None else f"above {above:,}"
            upper = f"{high:,}" if high is not None else f"below {below:,}"
            return f"{'whole number' if kind == 'integer' else 'number'}, {lower} to {upper}"
        case "boolean":
            return "`true`, `false`"
        case "string":
            return "text"
        case "null":
            return "`null`"
    return "keys and values"


if __name__ == "__main__":
    sys.stdout.write(reference())
