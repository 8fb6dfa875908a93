"""The command `spane-rllib data`: known datasets, downloads, conversion and description of traces."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spane_rllib.core.console import (
    Parser,
    Progress,
    add_table_options,
    format_table,
    print_json,
    run_command,
    tables_chosen,
    whole_number,
)
from spane_rllib.core.errors import UserError
from spane_rllib.datasets.catalog import KNOWN, PUBLIC_FORMS, find_dataset
from spane_rllib.datasets.dataset import Dataset

if TYPE_CHECKING:
    from spane_rllib.datasets.vm_traces.readers import ReadReport, TraceReading
    from spane_rllib.datasets.vm_traces.trace import VmTrace


def main(argv: Sequence[str] | None = None) -> int:
    """Run `spane-rllib data ARGV`; raises `UserError` for bad input."""
    arguments = _parser().parse_args(argv)
    arguments.run(arguments)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="spane-rllib data", description="Known datasets and trace files.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        command.set_defaults(run=run)
        return command

    def add_reading_options(command: argparse.ArgumentParser) -> None:
        command.add_argument("--skip-invalid", action="store_true", help="drop and count invalid rows")
        command.add_argument(
            "--never-ending",
            choices=("drop", "keep"),
            default="drop",
            help="VMs without a deletion (default: drop)",
        )

    add_table_options(add("list", _list, "list the known datasets and their terms of use"))
    command = add("fetch", _fetch, "download a known dataset; a broken download is resumed")
    command.add_argument("name", metavar="NAME", help="as `list` shows it")
    command.add_argument("--output", default="data", metavar="DIR", help="folder (default: data)")
    command = add("verify", _verify, "check a known dataset in ./data, or any trace file")
    command.add_argument("source", metavar="NAME_OR_PATH")
    command = add(
        "convert", _convert, "write a trace in another form: .csv, .csv.gz or .npy (fastest to load)"
    )
    command.add_argument("input", metavar="IN")
    command.add_argument("output", metavar="OUT")
    add_reading_options(command)
    command.add_argument(
        "--columns",
        metavar="FIELD=COLUMN,...",
        help="of a table with other columns: cpu, memory (GiB), arrival, and lifetime or end, as in "
        "cpu=vcpus,memory=gib,arrival=start,end=stop",
    )
    command.add_argument(
        "--time-unit", choices=("us", "ms", "s", "min", "h", "d"), help="of the times in --columns (s)"
    )
    command.add_argument(
        "--form", choices=PUBLIC_FORMS, metavar="FORM", help="of a public table: " + ", ".join(PUBLIC_FORMS)
    )
    command.add_argument(
        "--machine",
        metavar="CORESxGIB",
        help="what a whole machine has, where --form has shares of one, as in 64x256",
    )
    command.add_argument(
        "--drop-oversize",
        metavar="CORESxGIB",
        help="drop and count VMs that no empty server of two such NUMA nodes holds, as in 40x90",
    )
    command.add_argument(
        "--density",
        type=_density,
        default=1.0,
        metavar="FACTOR",
        help="let VMs arrive so many times as densely, for so much larger a cluster (default: 1)",
    )
    command = add(
        "describe", _describe, "show sizes, lifetimes, arrivals and load of a trace, or of GPU jobs"
    )
    command.add_argument(
        "source",
        metavar="PATH",
        help="a trace file, or synthetic[:vms=N,seed=S]; of GPU jobs what evaluate --jobs takes",
    )
    command.add_argument(
        "--problem", choices=("vm_scheduling", "gpu_jobs"), default="vm_scheduling", help="whose data it is"
    )
    command.add_argument("--reading", metavar="VALUE", help="of GPU jobs, as in '{form: pai2020}'")
    command.add_argument(
        "--gpus", type=whole_number(1, 1_000_000), metavar="N", help="of GPU jobs: for the load (56)"
    )
    command.add_argument("--plot", metavar="OUT.png", help="also draw a figure (.png, .pdf or .svg)")
    command.add_argument("--json", action="store_true", help="print JSON instead of tables")
    add_reading_options(command)
    command = add("synthesize", _synthesize, "write a made-up trace that behaves like Huawei-East-1")
    command.add_argument("output", metavar="OUT", help=".csv, .csv.gz or .npy file")
    command.add_argument("--vms", type=int, default=120_000, help="number of VMs (default: 120000)")
    command.add_argument("--seed", type=int, default=0, help="decides everything (default: 0)")
    return parser


def _list(arguments: argparse.Namespace) -> None:
    if tables_chosen(arguments):
        print_json(asdict(dataset) for dataset in KNOWN)
        return
    rows = [
        (
            d.name,
            d.about,
            d.form,
            f"{d.size:,}" if d.size else "unknown",
            "yes" if d.sha256 else "no",
            d.title,
        )
        for d in KNOWN
    ]
    print(format_table(("name", "of", "form", "bytes", "checksum", "what"), rows))
    for dataset in KNOWN:
        print(f"\n{_terms(dataset)}")


def _terms(dataset: Dataset) -> str:
    lines = [
        f"{dataset.name}: {dataset.homepage}",
        f"  licence: {dataset.licence}",
        f"  cite: {dataset.citation}",
    ]
    return "\n".join(lines + ([f"  note: {dataset.notes}"] if dataset.notes else []))


def _fetch(arguments: argparse.Namespace) -> None:
    from spane_rllib.datasets.fetch import fetch, file_sha256

    dataset = find_dataset(arguments.name)
    print(_terms(dataset))
    progress: Progress | None = None

    def show(done: int, total: int | None) -> None:
        nonlocal progress
        if total:
            progress = progress or Progress(dataset.file_name, total, "bytes")
            progress.update(done)

    path = fetch(dataset, arguments.output, show)
    verdict = "verified" if dataset.sha256 else "not verified: no checksum is published"
    print(f"{path}: sha256 {file_sha256(path)} ({verdict})")


def _verify(arguments: argparse.Namespace) -> None:
    from spane_rllib.datasets.catalog import recognise
    from spane_rllib.datasets.fetch import file_sha256, recognise_file
    from spane_rllib.datasets.vm_traces.readers import read_trace

    wanted = next((dataset for dataset in KNOWN if dataset.name == arguments.source), None)
    if wanted and wanted.form in PUBLIC_FORMS:
        raise UserError(f"{wanted.name} is a table to be converted, no trace; verify what convert writes")
    path = Path("data") / wanted.file_name if wanted else Path(arguments.source)
    if wanted and wanted.about == "GPU jobs":
        _verify_jobs(wanted, path)
        return
    result = read_trace(path)
    same_file, same_content = recognise_file(path), recognise(result.trace.sha256)
    if wanted and wanted.sha256 and same_file is not wanted:
        raise UserError(
            f"{path} is not the published file of {wanted.name}: its sha256 is {file_sha256(path)}"
        )
    print(f"{path}: a valid trace, {_counts(result.report)}")
    print(f"sha256 {file_sha256(path)}, content {result.trace.sha256}")
    if same_file:
        print(f"this is the published file of {same_file.name}")
    elif same_content:
        print(f"this has the content of {same_content.name}")
    else:
        print("this is none of the datasets with a known checksum")


def _verify_jobs(dataset: Dataset, path: Path) -> None:
    """Check the hash of a file of GPU jobs, and read it unless it is an archive."""
    from spane_rllib.datasets.fetch import file_sha256
    from spane_rllib.problems.gpu_jobs.workloads.readers import read_jobs
    from spane_rllib.problems.gpu_jobs.workloads.settings import ReadingSettings

    digest = file_sha256(path)
    if dataset.sha256 and digest != dataset.sha256:
        raise UserError(f"{path} is not the published file of {dataset.name}: its sha256 is {digest}")
    if not path.name.endswith(".tar.gz"):
        jobs = read_jobs(path, ReadingSettings.model_validate({"form": dataset.form}))
        print(f"{path}: {len(jobs):,} jobs")
    print(f"sha256 {digest}")
    print(f"this is the published file of {dataset.name}" if dataset.sha256 else "no checksum is published")


def _counts(report: ReadReport) -> str:
    text = f"{report.rows:,} rows, {report.kept:,} VMs kept"
    if report.never_ending:
        text += f", {report.never_ending:,} VMs without a deletion"
    return text + "".join(f"\n  skipped {count:,}: {reason}" for reason, count in report.skipped.items())


def _convert(arguments: argparse.Namespace) -> None:
    from spane_rllib.datasets.vm_traces.readers import read_trace
    from spane_rllib.datasets.vm_traces.writers import check_output, write_trace

    check_output(arguments.output)
    options: Any = {"skip_invalid": arguments.skip_invalid, "never_ending": arguments.never_ending}
    if arguments.form is not None:
        result = _read_public(arguments)
    elif arguments.machine is not None:
        raise UserError("argument --machine: only allowed with argument --form")
    elif arguments.columns is not None:
        from spane_rllib.datasets.vm_traces.foreign import parse_columns, read_foreign

        unit = arguments.time_unit or "s"
        result = read_foreign(arguments.input, parse_columns(arguments.columns), time_unit=unit, **options)
    elif arguments.time_unit is not None:
        raise UserError("argument --time-unit: only allowed with argument --columns")
    else:
        result = read_trace(arguments.input, **options)
    trace, text = result.trace, _counts(result.report)
    if arguments.drop_oversize is not None:
        trace, dropped = _without_oversize(trace, arguments.drop_oversize)
        text += f"\n  dropped {dropped:,}: no empty server of 2 x ({arguments.drop_oversize}) holds it"
    if arguments.density != 1:
        trace = trace.denser(arguments.density)
        text += f"\n  arrivals {arguments.density:g} times as dense"
    write_trace(trace, arguments.output)
    print(f"{arguments.output}: {text}")


def _density(text: str) -> float:
    """The type of `--density`."""
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not 1e-6 <= factor <= 1e6:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a number from 1e-6 to 1e6")
    return factor


def _read_public(arguments: argparse.Namespace) -> TraceReading:
    from spane_rllib.datasets.vm_traces.public_tables import read_public

    for option in ("columns", "time_unit"):
        if getattr(arguments, option) is not None:
            raise UserError(f"argument --{option.replace('_', '-')}: not allowed with argument --form")
    machine = None if arguments.machine is None else _size("--machine", arguments.machine)
    return read_public(arguments.input, arguments.form, machine=machine, never_ending=arguments.never_ending)


def _size(option: str, text: str) -> tuple[float, float]:
    """Cores and GiB, written CORESxGIB."""
    try:
        cores, gib = map(float, text.lower().split("x"))
        if not (0 < cores < 1e6 and 0 < gib < 1e9):
            raise ValueError
    except ValueError:
        raise UserError(f"argument {option}: {text[:40]!r} is not CORESxGIB, as in 40x90") from None
    return cores, gib


def _without_oversize(trace: VmTrace, size: str) -> tuple[VmTrace, int]:
    """The VMs that some empty server holds, and how many others there were."""
    from spane_rllib.problems.vm_scheduling.placement import drop_unplaceable
    from spane_rllib.problems.vm_scheduling.simulator.cluster import Cluster

    cpu, memory = _size("--drop-oversize", size)
    cluster = Cluster(1, cpu, memory)
    kept, dropped = drop_unplaceable(trace, cluster.is_double(trace.cpu, trace.memory), [(cpu, memory)])
    if not len(kept):
        raise UserError(f"no VM fits a server of two NUMA nodes of {size}; give a larger one")
    return kept, dropped


def _describe(arguments: argparse.Namespace) -> None:
    if arguments.problem == "gpu_jobs":
        _describe_jobs(arguments)
        return
    for name in ("reading", "gpus"):
        if getattr(arguments, name) is not None:
            raise UserError(f"argument --{name}: only allowed with argument --problem gpu_jobs")
    from spane_rllib.datasets.vm_traces.describe import describe, plot
    from spane_rllib.datasets.vm_traces.loading import load_trace

    trace = load_trace(
        arguments.source, skip_invalid=arguments.skip_invalid, never_ending=arguments.never_ending
    )
    description = describe(trace)
    if arguments.plot:
        plot(trace, arguments.plot)
        print(f"wrote {arguments.plot}", file=sys.stderr)
    print(description.to_json() if arguments.json else description.to_text())


def _describe_jobs(arguments: argparse.Namespace) -> None:
    from spane_rllib.core.settings import validated
    from spane_rllib.core.strict_yaml import parse_yaml
    from spane_rllib.problems.gpu_jobs.simulator.cluster import Cluster
    from spane_rllib.problems.gpu_jobs.workloads.describe import describe, plot
    from spane_rllib.problems.gpu_jobs.workloads.loading import read_workload
    from spane_rllib.problems.gpu_jobs.workloads.settings import ReadingSettings

    if arguments.skip_invalid or arguments.never_ending != "drop":
        raise UserError("--skip-invalid and --never-ending are of traces of VMs; leave them out")
    fields = {} if arguments.reading is None else parse_yaml(arguments.reading, "argument --reading")
    gpus = Cluster().gpus if arguments.gpus is None else arguments.gpus
    jobs = read_workload(arguments.source, gpus, validated(ReadingSettings, fields, "reading"))
    if arguments.plot:
        plot(jobs, arguments.plot)
        print(f"wrote {arguments.plot}", file=sys.stderr)
    description = describe(jobs, gpus)
    print(description.to_json() if arguments.json else description.to_text())


def _synthesize(arguments: argparse.Namespace) -> None:
    from spane_rllib.datasets.vm_traces.synthetic import synthesize
    from spane_rllib.datasets.vm_traces.writers import check_output, write_trace

    check_output(arguments.output)
    trace = synthesize(arguments.vms, arguments.seed)
    write_trace(trace, arguments.output)
    print(f"{arguments.output}: {len(trace):,} VMs, seed {arguments.seed}")


if __name__ == "__main__":
    sys.exit(run_command(main))
