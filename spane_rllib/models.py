"""The command `spane-rllib models`: weights of the published SPANE code as model folders."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from spane_rllib.core.console import Parser, run_command
from spane_rllib.core.errors import UserError
from spane_rllib.core.files import check_writable

if TYPE_CHECKING:
    from spane_rllib.problems.vm_scheduling.networks.base import QNetwork

_EPILOG = """Reads what https://github.com/ChanTinPing/SPANE saves (models/*/*.th): SPANE, and the MLP with or
without augmentation. Sizes follow from the file. Each model folder is called like its file; play it with
python -m spane_rllib.evaluate --policy DIR/NAME. docs/training.md tells more."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `spane-rllib models ARGV`; raises `UserError` for bad input."""
    _import(_parser().parse_args(argv))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="spane-rllib models", description="Model folders from weights made elsewhere.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    text = "turn weights of the published SPANE code into model folders"
    command = commands.add_parser(
        "import",
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a state dict, saved by torch")
    command.add_argument(
        "--output", type=Path, default=Path("models"), metavar="DIR", help="where they go (default: models)"
    )
    command.add_argument(
        "--problem", metavar="NAME", help="whose weights they are, as in gpu_jobs (default: those of SPANE)"
    )
    command.add_argument(
        "--aggregations",
        type=lambda names: names.split(","),
        metavar="A,B",
        help="how a SPANE joins its servers, in the order its training was given: mean, max, std; needed "
        "where it is two of them (default: mean where one, mean,max,std where three)",
    )
    return parser


def _import(arguments: argparse.Namespace) -> None:
    folders: dict[Path, Path] = {}
    for file in arguments.files:
        folder = arguments.output / file.stem
        if folder in folders:
            raise UserError(f"{file} and {folders[folder]} would both become {folder}; import them apart")
        if folder.exists() or folder.is_symlink():
            raise UserError(f"{folder} exists already; give another --output")
        folders[folder] = file
    check_writable(arguments.output)
    if arguments.problem is not None:
        from spane_rllib.problems.registry import find_problem

        if arguments.aggregations:
            raise UserError("argument --aggregations: is of SPANE; leave out --problem")
        for line in find_problem(arguments.problem).import_models(folders):
            print(line)
        return

    from spane_rllib.problems.vm_scheduling.networks.published import published_metadata, read_published
    from spane_rllib.problems.vm_scheduling.networks.weights import save_model

    # All are read before the first is written: a bad file leaves nothing behind.
    networks = {folder: read_published(file, arguments.aggregations) for folder, file in folders.items()}
    for folder, network in networks.items():
        save_model(folder, network, published_metadata(network))
        print(f"{folder}: {_description(network)}")


def _description(network: QNetwork) -> str:
    """Kind, size and options in one line."""
    weights = sum(parameter.numel() for parameter in network.parameters())
    servers = f"{network.fixed_servers} servers" if network.fixed_servers else "any number of servers"
    options = [
        f"{name} {', '.join(value) if isinstance(value, list) else value}"
        for name, value in network.options().items()
    ]
    return f"network {network.kind}, {weights:,} parameters, for {servers} ({'; '.join(options)})"


if __name__ == "__main__":
    sys.exit(run_command(main))
