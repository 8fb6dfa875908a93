"""`python -m spane_rllib.view`: pages, animations, the local server, and what is refused."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from schedule_examples import large_schedule, other_decision, small_scenario, small_schedule
from time_limits import ANSWER_S

import spane_rllib
from spane_rllib.__main__ import main
from spane_rllib.core.plotting import pixels
from spane_rllib.problems.recordings import write_recording
from spane_rllib.problems.vm_scheduling.recordings.schedule_file import write_schedule
from spane_rllib.problems.vm_scheduling.viewing.animation import Panel, ScheduleAnimation
from spane_rllib.problems.vm_scheduling.viewing.viewer import ScheduleViewer
from spane_rllib.viewer.animation import frames
from spane_rllib.viewer.page import render_page
from spane_rllib.viewer.server import PageServer

NAMES = {"a.npz": "by-hand", "b.npz": "other <b>&", "c.npz": "round-robin"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where to work: recordings `a`, `b` and, of a scenario, `d` of the same arrivals, and `c` of others."""
    monkeypatch.chdir(tmp_path)
    for name, schedule in (("a", small_schedule()), ("b", other_decision()), ("c", large_schedule(60, 8))):
        write_schedule(f"{name}.npz", schedule)
    write_schedule("e.npz", replace(small_schedule(), policy="$\\frac$"))
    write_schedule("d.npz", replace(other_decision(), policy="round-robin", scenario="fading"))
    return tmp_path


@pytest.mark.parametrize("files", [["a.npz"], ["a.npz", "b.npz"], ["c.npz"]])
def test_an_exported_page_needs_nothing_else(files: list[str], folder: Path) -> None:
    assert main(["view", *files, "--export", "out.html"]) == 0
    page = (folder / "out.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|\bsrc=|@import|url\(|\bimport\b.*\bfrom\b|\bfetch\(|{{", page)
    assert re.search(r"default-src 'none'", page)
    (data,) = re.findall(r'<script type="application/json" id="recordings">(.*?)</script>', page, re.DOTALL)
    recordings = json.loads(data)
    assert [recording["policy"] for recording in recordings] == [NAMES[file] for file in files]


def test_names_from_a_recording_cannot_become_markup() -> None:
    schedule = small_schedule()
    hostile = type(schedule)(**{**vars(schedule), "policy": "</script><script>alert(1)</script>"})
    page = render_page(ScheduleViewer().page([hostile]))
    assert "<script>alert" not in page
    assert page.count("<script") == page.count("</script>") == 2


def test_infinity_and_fractions_survive_the_page() -> None:
    page = render_page(ScheduleViewer().page([small_schedule()]))
    assert '"lifetime":[10.0,20.0,5.0,null,5.0]' in page
    assert '"memory":[2.0,12.0,4.0,7.5,12.0]' in page
    assert '"cpu":[2,4,3,4,18]' in page


@pytest.mark.parametrize("files", [["a.npz"], ["a.npz", "b.npz"], ["c.npz"], ["e.npz"]])
def test_an_animation_has_a_frame_per_decision(
    files: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    assert main(["view", *files, "--export", "out.gif"]) == 0
    with Image.open(folder / "out.gif") as image:
        assert image.n_frames == (9 if files == ["c.npz"] else 5)


def test_a_panel_shows_the_state_after_each_decision() -> None:
    from matplotlib.figure import Figure

    panel = Panel(Figure(), small_schedule())
    panel.draw(3)
    np.testing.assert_array_equal(panel.used, [[2, 3, 2, 2], [2, 4, 6, 6]])
    panel.draw(4)
    np.testing.assert_array_equal(panel.used, [[4, 0, 2, 2], [7.5, 0, 6, 6]])
    heights = [[bar.get_height() for bar in bars] for bars in panel.bars]
    assert heights == [[50, 25], [0, -25], [46.875, 37.5], [0, -37.5]]  # of the large server
    assert panel.title.get_text() == "by-hand: decision 4, total wait 8 s"
    panel.draw(3)  # back again
    np.testing.assert_array_equal(panel.used, [[2, 3, 2, 2], [2, 4, 6, 6]])
    panel.draw(9)
    assert panel.lines[0].get_ydata()[-1] == pytest.approx(100 * 8 / 24)


def test_frames_over_a_still_are_those_drawn_as_a_whole() -> None:
    animation = ScheduleAnimation([small_schedule(), small_schedule()])
    animation.draw(0)
    pixels(animation.figure)
    animation.figure.set_layout_engine("none")
    over_still = list(frames(animation))
    for artist in animation.changing:
        artist.set_animated(False)
    for moment, frame in zip(animation.moments, over_still, strict=True):
        animation.draw(moment)
        # Bars lie over the frame of their axes there, and below it here.
        assert np.mean(np.abs(pixels(animation.figure).astype(int) - frame).max(axis=2) > 0) < 0.01


def test_a_panel_of_a_scenario_counts_vms_and_servers() -> None:
    from matplotlib.figure import Figure

    panel = Panel(Figure(), small_scenario())
    panel.draw(1)
    assert panel.title.get_text() == "by-hand: placed 1, servers 1"
    assert [(server, frame.get_visible()) for server, frame in panel.frames] == [(0, True), (1, False)] * 2
    panel.draw(2)
    assert panel.title.get_text() == "by-hand: placed 2, servers 2"


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
def test_an_animation_as_mp4(folder: Path) -> None:
    assert main(["view", "a.npz", "--export", "out.mp4"]) == 0
    assert (folder / "out.mp4").read_bytes()[4:8] == b"ftyp"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "arguments are required: FILE"),
        (["absent.npz"], "cannot read absent.npz: No such file"),
        ([".", "b.npz"], "cannot read .: Is a directory"),
        (["text.npz"], "text.npz: damaged or no recording"),
        (["text.p"], "text.p: not a valid VMAgent recording"),
        (["a.npz", "absent.npz"], "cannot read absent.npz"),
        (["a.npz", "c.npz"], "by-hand (start 7) and round-robin (start 0) are not of the same arrivals"),
        (["a.npz", "d.npz"], "VMs wait for by-hand but not for round-robin; give two recordings of one kind"),
        (["d.npz", "a.npz"], "VMs wait for by-hand but not for round-robin"),
        (["a.npz", "b.npz", "c.npz"], "unrecognized arguments: c.npz"),
        (["a.npz", "--port", "70000"], "argument --port: must be a whole number from 0 to 65535"),
        (
            ["a.npz", "--export", "out.docx"],
            "cannot write out.docx: the name must end in .html, .gif or .mp4",
        ),
        (["a.npz", "--export", ""], "the name must end in .html"),
        (["a.npz", "--export", "text.p/out.html"], "cannot write"),
        (["a.npz", "c.npz", "--export", "out.gif"], "not of the same arrivals"),
        (["text.json"], "text.json: damaged or no recording"),
        (["other.json"], "no problem is called 'knapsack'"),
        (["older.json"], "older.json: a recording of another version"),
        (["list.json"], "list.json: no recording; give a file that evaluate --record wrote"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    arguments: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("text.npz", "text.p", "text.json"):
        (folder / name).write_text("no recording")
    write_recording("other.json", "knapsack", {})
    (folder / "list.json").write_text("[1]")
    (folder / "older.json").write_text('{"format": "spane_rllib recording", "version": 0}')
    before = sorted(folder.rglob("*"))
    assert main(["view", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and message in line
    assert sorted(folder.rglob("*")) == before


def test_mp4_without_ffmpeg_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    assert main(["view", "a.npz", "--export", "out.mp4"]) == 2
    assert "ffmpeg is not installed; install it or export a .gif" in capsys.readouterr().err
    assert not (folder / "out.mp4").exists()


def test_a_taken_port_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["view", "a.npz", "--no-browser", "--port", str(port)]) == 2
    assert f"cannot listen on port {port}: Address already in use" in capsys.readouterr().err


def test_the_page_is_served_until_it_is_interrupted(folder: Path) -> None:
    command = [sys.executable, "-m", "spane_rllib.view", str(folder / "a.npz"), "--no-browser"]
    source = Path(spane_rllib.__file__).parents[1]
    with subprocess.Popen(
        command, cwd=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        url = process.stdout.readline().split()[0]
        with urllib.request.urlopen(url, timeout=ANSWER_S) as response:
            assert response.read().decode() == render_page(ScheduleViewer().page([small_schedule()]))
        process.send_signal(signal.SIGINT)
        assert process.wait(ANSWER_S) == 0
        assert process.stderr.read() == ""


def test_the_server_answers_this_machine_only() -> None:
    with PageServer("<p>é</p>") as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def get(path: str, host: str) -> tuple[int, str]:
            connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=ANSWER_S)
            connection.request("GET", path, headers={"Host": host})
            response = connection.getresponse()
            return response.status, response.read().decode()

        assert server.server_address[0] == "127.0.0.1"
        port = server.server_port
        assert get("/", f"127.0.0.1:{port}") == (200, "<p>é</p>")
        assert get("/", f"localhost:{port}")[0] == 200
        assert get("/", f"evil.example:{port}")[0] == 403
        assert get("/other", f"localhost:{port}")[0] == 404
        server.shutdown()
