"""`python -m spane_rllib.search`: direct policy search with CMA-ES over whole simulated episodes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from spane_rllib.core.console import (
    Parser,
    add_table_options,
    configured_parser,
    format_table,
    print_json,
    run_command,
    tables_chosen,
)
from spane_rllib.core.presets import presets_text

_EPILOG = """All keys: docs/configuration.md; how it works: docs/policy_search.md.

Writes models/score/, trials.csv and curves.csv; evaluate the models with spane_rllib.study, compare or
evaluate. Ctrl-C leaves a state that --resume continues."""


def _parser() -> Parser:
    parser = configured_parser(
        "search",
        "Search the weights of a placement score with CMA-ES, judged on whole episodes.",
        presets_text("policy_search") + "\n\n" + _EPILOG,
        config="YAML file or name of the preset",
        example="generations=50",
        what="search",
    )
    add_table_options(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see `--help`."""
    arguments = _parser().parse_args(argv)
    from spane_rllib.experiments.policy_search.config import load_search
    from spane_rllib.experiments.results.folder import ResultsFolder, folder_to_resume

    if arguments.resume is not None:
        folder = folder_to_resume(arguments, "search")
        config = load_search(folder.config_file)
    else:
        config = load_search(arguments.config or "policy_search", arguments.overrides)
        folder = ResultsFolder(Path(config.output) / config.name)
        folder.check_free()
    from spane_rllib.experiments.policy_search.job import run_search

    try:
        run_search(config, folder, resume=arguments.resume is not None)
    except KeyboardInterrupt:
        if folder.config_file.is_file():
            print("interrupted; what is finished is kept. Continue with:", file=sys.stderr)
            print(f"  python -m spane_rllib.search --resume {folder.path}", file=sys.stderr)
        return 130
    import pandas as pd

    trials = pd.read_csv(folder.path / "trials.csv").sort_values("rank")
    columns = ["trial", "rank", "best_validation_cost", "best_generation", "model"]
    if tables_chosen(arguments):
        print_json(trials[columns].to_dict("records"))
        return 0
    print(format_table(columns, [tuple(row) for row in trials[columns].itertuples(index=False)]))
    print(f"results in {folder.path}")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
