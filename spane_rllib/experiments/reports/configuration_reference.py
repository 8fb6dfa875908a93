"""Writes `docs/configuration.md` from the descriptions in the typed configuration.

Run after a change:

    python -m spane_rllib.experiments.reports.configuration_reference > docs/configuration.md
"""

from __future__ import annotations

import json
import sys
from typing import Any

from spane_rllib.core.settings import Settings
from spane_rllib.experiments.policy_search.config import SearchConfig, SearchValidation, WindowSettings
from spane_rllib.experiments.studies.config import BootstrapSettings, StudyConfig, StudyEvaluation
from spane_rllib.experiments.tuning.config import (
    ClusterSettings,
    EvaluationSettings,
    ExperimentConfig,
    LoggingSettings,
    MethodSettings,
    MlflowSettings,
    ResourceSettings,
    SearchSettings,
    SplitSettings,
    TraceSettings,
    ValidationSettings,
    WandbSettings,
)
from spane_rllib.experiments.tuning.search_space import KINDS
from spane_rllib.learning.policy_settings import A2cSettings, PpoSettings, SacSettings
from spane_rllib.learning.settings import TrainingSettings
from spane_rllib.problems.vm_scheduling.networks.options import MlpOptions, SpaneOptions

SECTIONS: dict[str, type[Settings]] = {
    "Top level": ExperimentConfig,
    "`trace`": TraceSettings,
    "`cluster`": ClusterSettings,
    "`splits`": SplitSettings,
    "`training`": TrainingSettings,
    "`validation`": ValidationSettings,
    "`methods.<name>`": MethodSettings,
    "`methods.<name>.training` of the algorithm `ppo`": PpoSettings,
    "`methods.<name>.training` of the algorithm `a2c`": A2cSettings,
    "`methods.<name>.training` of the algorithm `sac`": SacSettings,
    "`methods.<name>.options` of the network `spane`": SpaneOptions,
    "`methods.<name>.options` of the network `mlp`": MlpOptions,
    "`search`": SearchSettings,
    "`evaluation`": EvaluationSettings,
    "`resources`": ResourceSettings,
    "`logging`": LoggingSettings,
    "`logging.wandb`": WandbSettings,
    "`logging.mlflow`": MlflowSettings,
}
POLICY_SEARCH_SECTIONS: dict[str, type[Settings]] = {
    "Policy search: top level": SearchConfig,
    "Policy search: `windows`": WindowSettings,
    "Policy search: `validation`": SearchValidation,
}
STUDY_SECTIONS: dict[str, type[Settings]] = {
    "Study: top level": StudyConfig,
    "Study: `evaluation`": StudyEvaluation,
    "Study: `bootstrap`": BootstrapSettings,
}

INTRODUCTION = """\
# Configuration of an experiment

<!-- Written by `python -m spane_rllib.experiments.reports.configuration_reference`; do not edit by hand. -->

`python -m spane_rllib.tune [CONFIG] [--set key=value ...]` runs one experiment: Ray Tune trains the trials of
each method, the best `evaluation.top_k` of each by validation meet the heuristics on unseen episodes, and
tables, figures and weights go to `<output>/<name>/`. `CONFIG` is a YAML file or the name of a preset:

| preset | experiment |
|---|---|
| `quick` | the default: every method, a few short trials each |
| `spane_random`, `mlp_random`, `mlp_aug_random` | 300 random combinations of a broad space |
| `spane_grid`, `mlp_grid`, `mlp_aug_grid` | every combination of a narrower space |
| `spane_final`, `mlp_final`, `mlp_aug_final` | our tuned values from eleven seeds ([why](training.md)) |
| `spane_published` | SPANE with the published values from eleven seeds |
| `fading`, `recovering` | a scenario: every algorithm on both networks, three seeds each |

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
      server_width: {{randint: [4, 32]}}
      aggregations: {{choice: [[mean], [mean, max]]}}
    training:
      learning_rate: {{loguniform: [0.001, 0.1]}}
```
"""


POLICY_SEARCH_INTRODUCTION = """
# Configuration of a policy search

`python -m spane_rllib.search [CONFIG] [--set key=value ...]` looks for a placement score with CMA-ES
([policy_search.md](policy_search.md)). `trace`, `cluster` and `splits` are those of an experiment.
"""

STUDY_INTRODUCTION = """
# Configuration of a study

`python -m spane_rllib.study CONFIG [--set key=value ...]` evaluates trained models beside heuristics, without
training ([evaluation.md](evaluation.md)). `CONFIG` is a YAML file or a preset: `wait_time` (5 servers) or
`flexibility` (2 to 9 servers). `trace`, `cluster` and `splits` are those of an experiment.
"""


def reference() -> str:
    """The page as Markdown."""
    example = {"choice": "[a, b, c]", "grid": "[a, b, c]"}
    text = INTRODUCTION.format(
        distributions="\n".join(
            f"| `{{{kind}: {example.get(kind, '[low, high]')}}}` | {meaning} |"
            for kind, meaning in KINDS.items()
        ),
    )
    text += "".join(_table(title, section) for title, section in SECTIONS.items())
    for introduction, sections in (
        (POLICY_SEARCH_INTRODUCTION, POLICY_SEARCH_SECTIONS),
        (STUDY_INTRODUCTION, STUDY_SECTIONS),
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
    if isinstance(default, Settings):
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
