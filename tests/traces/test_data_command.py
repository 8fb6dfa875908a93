"""`spane-rllib data` from the command line: what it prints, what it writes, and its exit codes."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from spane_rllib import __version__
from spane_rllib.__main__ import COMMANDS, main
from spane_rllib.datasets import fetch as fetch_module
from spane_rllib.datasets.vm_traces.readers import read_trace
from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.datasets.vm_traces.writers import write_trace


def data(*arguments: object) -> int:
    return main(["data", *map(str, arguments)])


@pytest.fixture
def trace_file(trace: VmTrace, tmp_path: Path) -> Path:
    write_trace(trace, tmp_path / "four.csv")
    return tmp_path / "four.csv"


def test_list_shows_terms(capsys: pytest.CaptureFixture[str]) -> None:
    assert data("list") == 0
    output = capsys.readouterr().out
    assert "huawei-east-1-lt" in output
    assert "CC BY-NC 4.0" in output
    assert "arXiv:2504.14946" in output


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".npy"])
def test_convert(trace: VmTrace, trace_file: Path, suffix: str, capsys: pytest.CaptureFixture[str]) -> None:
    target = trace_file.with_name(f"out{suffix}")
    assert data("convert", trace_file, target) == 0
    assert "4 rows, 4 VMs kept" in capsys.readouterr().out
    assert read_trace(target).trace.sha256 == trace.sha256


def test_convert_reports_what_it_skips(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = tmp_path / "in.csv", tmp_path / "out.npy"
    source.write_text("vmid,cpu,memory,time,type\na,1,2,0,0\nb,0,2,0,0\nc,1,2,1,0\na,1,2,2,1\n")
    assert data("convert", source, target) == 2
    error = capsys.readouterr().err
    assert error == f"error: {source}, row 3: cpu must be more than 0, got 0; " + error.partition("; ")[2]
    assert not target.exists()
    assert data("convert", source, target, "--skip-invalid", "--never-ending", "keep") == 0
    output = capsys.readouterr().out
    assert "4 rows, 2 VMs kept, 1 VMs without a deletion" in output
    assert "skipped 1: cpu must be more than 0" in output
    assert read_trace(target, never_ending="keep").trace.lifetime.tolist() == [2, np.inf]


def test_convert_makes_arrivals_denser(
    trace: VmTrace, trace_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = trace_file.with_name("dense.npy")
    assert data("convert", trace_file, target, "--density", "4") == 0
    assert "arrivals 4 times as dense" in capsys.readouterr().out
    dense = read_trace(target).trace
    assert (4 * dense.arrival).tolist() == trace.arrival.tolist()
    for column in ("cpu", "memory", "lifetime"):
        assert getattr(dense, column).tolist() == getattr(trace, column).tolist()
    for wrong in ("0", "-1", "nan", "inf", "many"):
        assert data("convert", trace_file, trace_file.with_name("no.npy"), "--density", wrong) == 2
        assert f"'{wrong}' is not a number from" in capsys.readouterr().err
    assert not trace_file.with_name("no.npy").exists()


def test_the_output_name_is_checked_before_reading(capsys: pytest.CaptureFixture[str]) -> None:
    assert data("convert", "absent.csv", "out.txt") == 2
    assert "must end in" in capsys.readouterr().err


def test_describe(trace: VmTrace, trace_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figure = trace_file.with_name("figure.png")
    assert data("describe", trace_file, "--plot", figure) == 0
    assert "64 x 128" in capsys.readouterr().out
    assert figure.stat().st_size > 1000
    assert data("describe", trace_file, "--json") == 0
    assert json.loads(capsys.readouterr().out)["sha256"] == trace.sha256


def test_describe_refuses_unknown_figure_formats(
    trace_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert data("describe", trace_file, "--plot", trace_file.with_name("figure.xyz")) == 2
    assert "figure.xyz" in capsys.readouterr().err
    assert [path.name for path in trace_file.parent.iterdir()] == ["four.csv"]


def test_synthesize(tmp_path: Path) -> None:
    assert data("synthesize", tmp_path / "a.npy", "--vms", 300, "--seed", 4) == 0
    assert data("synthesize", tmp_path / "b.csv.gz", "--vms", 300, "--seed", 4) == 0
    a, b = (read_trace(tmp_path / name).trace for name in ("a.npy", "b.csv.gz"))
    assert len(a) == 300
    assert a.sha256 == b.sha256


def test_verify(
    trace_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert data("verify", trace_file) == 0
    assert "none of the datasets" in capsys.readouterr().out
    monkeypatch.chdir(trace_file.parent)
    assert data("verify", "huawei-east-1") == 2
    assert "data/Huawei-East-1.csv" in capsys.readouterr().err
    assert data("convert", trace_file, "data/Huawei-East-1-lt.csv") == 0
    assert data("verify", "huawei-east-1-lt") == 2
    assert "is not the published file of huawei-east-1-lt" in capsys.readouterr().err


def test_verify_recognises_the_published_file_in_any_form(
    huawei_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert data("verify", huawei_file) == 0
    assert "the published file of huawei-east-1-lt" in capsys.readouterr().out
    assert data("convert", huawei_file, tmp_path / "lt.npy") == 0
    assert data("verify", tmp_path / "lt.npy") == 0
    assert "the content of huawei-east-1-lt" in capsys.readouterr().out


def test_fetch_prints_terms_and_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(dataset, target, part, progress) -> None:
        part.write_text("vmid,cpu,memory,time,type\n")
        progress(26, 26)

    monkeypatch.setattr(fetch_module, "_download_from_any", download)
    assert data("fetch", "huawei-east-1", "--output", tmp_path) == 0
    output = capsys.readouterr().out
    assert "licence: CC BY-NC" in output
    assert "Huawei-East-1.csv: sha256" in output
    assert "not verified" in output
    assert data("fetch", "huawei-east-1-lt", "--output", tmp_path) == 2
    assert "not the published file" in capsys.readouterr().err


def test_unknown_names_list_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert data("fetch", "azure") == 2
    assert "known: huawei-east-1, huawei-east-1-lt" in capsys.readouterr().err
    assert main(["dta"]) == 2
    assert f"known: {', '.join(COMMANDS)}" in capsys.readouterr().err


def test_top_level_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "describe" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"spane-rllib {__version__}\n"
    assert main([]) == 2


@pytest.mark.parametrize("module", ["spane_rllib", "spane_rllib.data"])
def test_modules_run_without_heavy_imports(module: str) -> None:
    arguments = ["data", "list"] if module == "spane_rllib" else ["list"]
    heavy = ["ray", "torch", "pandas", "matplotlib", "numba"]
    code = (
        f"import runpy, sys; sys.argv = {['x', *arguments]!r}\n"
        f"try: runpy.run_module({module!r}, run_name='__main__')\n"
        f"except SystemExit as end: assert not end.code, end.code\n"
        f"assert not set({heavy!r}) & set(sys.modules)"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert "huawei-east-1-lt" in finished.stdout
