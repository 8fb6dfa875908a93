"""The page in a real browser: what it shows, by hand and against the simulator's arithmetic."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from chromium import EXECUTABLE, Chromium
from schedule_examples import large_schedule, other_decision, small_scenario, small_schedule

from spane_rllib.problems.vm_scheduling.recordings.schedule import NOWHERE, Events, Schedule, Vms
from spane_rllib.problems.vm_scheduling.viewing.viewer import ScheduleViewer
from spane_rllib.viewer.page import bundle, render_page

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(EXECUTABLE is None, reason="Chromium is not installed"),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    chromium = Chromium(tmp_path_factory.mktemp("profile"))
    yield chromium
    chromium.close()


class Page:
    """A page that is opened in the browser, and complaints about it at the end."""

    def __init__(self, browser: Chromium, folder: Path) -> None:
        self.browser = browser
        self.folder = folder

    def open(self, *schedules: Schedule, step: int = 0, width: int = 1366, height: int = 768) -> Chromium:
        file = self.folder / "page.html"
        file.write_text(render_page(ScheduleViewer().page(schedules)), encoding="utf-8")
        self.browser.open(f"{file.as_uri()}#{step}", width, height)
        return self.browser


@pytest.fixture
def page(browser: Chromium, tmp_path: Path) -> Iterator[Page]:
    opened = Page(browser, tmp_path)
    yield opened
    assert browser.problems == []
    assert {address.split(":")[0] for address in browser.requests} <= {"file", "about", "data"}


def step(browser: Chromium) -> int:
    return int(browser.run("document.getElementById('overview').ariaValueNow"))


def fields(browser: Chromium, side: int = 0) -> dict[str, str]:
    script = """[...document.querySelectorAll('.side')[%d].querySelectorAll('[data-field]')]
        .map((element) => [element.dataset.field, element.textContent])"""
    return dict(browser.run(script % side))


def test_numbers_of_a_schedule_by_hand(page: Page) -> None:
    browser = page.open(small_schedule())
    assert browser.text("#heading") == "by-hand"
    assert browser.text("[data-resource=cpu] .big") == "0%"
    browser.press("End")
    assert step(browser) == 6
    shown = fields(browser)
    assert shown["total-wait"] == "8 s"
    assert (shown["delayed"], shown["longest"], shown["mean"]) == ("1 VM", "8 s", "2 s")
    assert (shown["placed"], shown["running"]) == ("4 / 5", "2 VMs")
    assert (shown["queue"], shown["queue-unit"], shown["head-wait"]) == ("1", "VM waits", "7 s")
    # VM 1 (4 cores, 12 GiB) and VM 3 (4 cores, 7.5 GiB) on 2 x (4 + 8) cores and 2 x (8 + 16) GiB.
    assert browser.text("[data-resource=cpu] .big") == "33%"
    assert browser.text("[data-resource=cpu] .amount") == "8 / 24 cores"
    assert browser.text("[data-resource=memory] .amount") == "19.5 / 48 GiB"
    assert browser.text("[data-resource=memory] .level") == "low"
    assert browser.text("[data-request=last] h3") == "Placed: VM 10"
    assert browser.text("[data-request=last] .place") == "server 0, node 0 after 8 s"
    assert browser.text("[data-request=head] .size") == "18 cores, 12 GiB, both nodes"
    assert "fits nowhere: the episode ends" in browser.text("[data-request=head] .place")
    browser.press("ArrowLeft")
    assert browser.text("[data-request=last] h3") == "Departed: VM 7"
    assert fields(browser)["queue"] == "2"
    assert fields(browser)["head-wait"] == "8 s"


def test_numbers_of_a_scenario_by_hand(page: Page) -> None:
    browser = page.open(small_scenario())
    assert browser.text("#subheading") == "five VMs, from row 7, scenario growing on 1 to 2 servers"
    assert browser.text(".servers .detail .nodes").startswith("node 0: 0 / 4 cores (0%), 0 / 8 GiB")
    browser.press("w")
    assert step(browser) == 2
    assert fields(browser) == {
        "score": "2",
        "running-now": "2",
        "departed": "0",
        "servers": "2",
        "added": "1",
        "server-hours": "0",
    }
    assert browser.text("[data-resource=cpu] .amount") == "6 / 24 cores"
    assert browser.run("document.getElementById('next-tick').disabled")
    browser.press("c")
    assert step(browser) == 5
    shown = fields(browser)
    assert (shown["score"], shown["running-now"], shown["departed"]) == ("3", "2", "1")
    assert browser.text("[data-request=last] h3") == "No room: VM 10"
    assert browser.text("[data-request=last] .where") == "fits nowhere"
    assert browser.text("[data-request=last] .wait") == "(18 cores are free)"
    assert browser.text("[data-request=head] h3") == "The episode ends"
    browser.press("Home")
    assert fields(browser)["servers"] == "1"
    assert browser.text("[data-resource=cpu] .amount") == "0 / 8 cores"


def test_an_episode_that_the_cap_ends(page: Page) -> None:
    schedule = replace(large_schedule(3, 40), scenario="capped")
    browser = page.open(schedule, step=70)
    assert fields(browser)["score"] == "40"
    assert browser.text("[data-request=head] .where") == "at its cap or the end of the trace"
    assert browser.run("document.getElementById('next-tick').hidden")
    assert browser.run("document.getElementById('next-alarm').disabled")


def test_two_policies_on_a_scenario_end_where_each_fits_nothing_more(page: Page) -> None:
    schedule = small_scenario()
    shorter = replace(
        schedule,
        vms=Vms(*(column[:3] for column in schedule.vms))._replace(slot=np.array([0, 2, NOWHERE])),
        events=Events(*(column[:2] for column in schedule.events)),
    )
    browser = page.open(schedule, shorter)
    browser.press("d")
    assert step(browser) == 3
    assert [browser.text("[data-request=last] h3", i) for i in (0, 1)] == [
        "Placed: VM 9",
        "No room: VM 9",
    ]
    browser.press("End")
    assert step(browser) == 4
    assert [fields(browser, i)["score"] for i in (0, 1)] == ["3", "2"]
    assert [browser.text("[data-request=last] h3", i) for i in (0, 1)] == [
        f"No room: VM {n}" for n in (10, 9)
    ]
    assert "CPU in use by B, which places 2 VMs" in browser.text("#overview-legend")


def test_keys_move_along_the_episode(page: Page) -> None:
    browser = page.open(large_schedule(3, 40), step=20)
    assert step(browser) == 20
    for key, shift, expected in [
        ("ArrowRight", False, 21),
        ("ArrowRight", True, 31),
        ("ArrowLeft", True, 21),
        ("Home", False, 0),
        ("ArrowLeft", False, 0),
        ("End", False, 70),
        ("ArrowRight", True, 70),
    ]:
        browser.press(key, shift)
        assert step(browser) == expected
    browser.press("?")
    assert browser.run("document.getElementById('help').open")
    browser.press("Home")
    assert step(browser) == 70
    browser.run("document.getElementById('help').close()")
    for key, speed in [("+", "25"), ("+", "50"), ("-", "25")]:
        browser.press(key)
        assert browser.run("document.getElementById('speed').value") == speed


def test_playing_goes_to_the_end_and_stops(page: Page) -> None:
    browser = page.open(large_schedule(3, 40), step=60)
    browser.run("document.getElementById('speed').focus()")
    browser.run("document.activeElement.blur()")
    for _ in range(4):
        browser.press("+")
    browser.press(" ")
    browser.until("document.getElementById('overview').ariaValueNow === '70'")
    browser.until("document.getElementById('play').textContent === 'Play'")
    browser.press(" ")  # from the beginning again
    assert browser.text("#play") == "Pause"
    browser.press(" ")
    assert browser.text("#play") == "Play"


def test_jumps(page: Page) -> None:
    browser = page.open(small_schedule(), other_decision())
    assert browser.text("#heading") == "Two policies, the same arrivals"
    browser.press("d")
    assert step(browser) == 3
    browser.press("w")
    assert step(browser) == 4
    browser.press("w")
    assert step(browser) == 4
    browser.press("W", shift=True)
    assert step(browser) == 4
    browser.click("#first-difference")
    assert step(browser) == 3
    assert browser.run("document.getElementById('next-alarm').disabled")


def test_two_policies_stand_at_the_same_decision(page: Page) -> None:
    browser = page.open(small_schedule(), other_decision(), step=4)
    assert [browser.text(".name", i) for i in (0, 1)] == ["by-hand", "other <b>&"]
    assert [fields(browser, i)["total-wait"] for i in (0, 1)] == ["8 s", "0 s"]
    assert [fields(browser, i)["running"] for i in (0, 1)] == ["2 VMs", "4 VMs"]
    assert [browser.text("[data-request=last] h3", i) for i in (0, 1)] == ["Placed: VM 10"] * 2
    assert browser.text("[data-request=last] .where", 1) == "server 1, node 0"


def test_a_catastrophe_is_marked_where_the_total_passes_the_limit(page: Page) -> None:
    schedule = small_schedule()
    later = schedule.events._replace(time=schedule.events.time + np.array([0, 0, 0, 0, 0, 300_000.0]))
    browser = page.open(Schedule(**{**vars(schedule), "events": later}))
    browser.press("c")
    assert step(browser) == 6
    assert browser.run("document.querySelector('.badge').classList.contains('on')")
    browser.press("ArrowLeft")
    assert not browser.run("document.querySelector('.badge').classList.contains('on')")


def test_an_episode_without_any_event(page: Page) -> None:
    schedule = small_schedule()
    nowhere = schedule.vms._replace(slot=np.full(5, NOWHERE))
    none = Events(*(column[:0] for column in schedule.events))
    browser = page.open(Schedule(**{**vars(schedule), "vms": nowhere, "events": none}))
    browser.press(" ")
    assert step(browser) == 0
    assert "fits nowhere" in browser.text("[data-request=head] .place")


@pytest.mark.parametrize("servers", [2, 60])
def test_a_click_lists_the_vms_of_a_server(servers: int, page: Page) -> None:
    schedule = small_schedule() if servers == 2 else large_schedule(servers, 125)
    browser = page.open(schedule, step=3 if servers == 2 else len(schedule.events.time))
    browser.click(".stage canvas", *((0.9, 0.5) if servers == 2 else (0.01, 0.02)))
    rows = browser.run(
        "[...document.querySelectorAll('.detail tbody tr')].map(r => [...r.children].map(c => c.textContent))"
    )
    if servers == 2:
        assert browser.text(".detail .title") == "Server 1: 1 VM"
        assert rows == [["8", "0+1", "4", "12", "1 s", "19 s"]]
    else:
        assert browser.text(".detail .title") == "Server 0: 2 VMs"
        assert [row[0] for row in rows] == ["121", "120"]
    browser.press("]")
    assert browser.text(".detail .title").startswith("Server 0" if servers == 2 else "Server 1")


def test_the_bar_can_be_dragged(page: Page) -> None:
    browser = page.open(large_schedule(3, 40))
    browser.click("#overview", 0.5)
    assert step(browser) == 35
    browser.drag("#overview", 0.5, 0.998)
    assert step(browser) == 70
    browser.drag("#overview", 0.9, 0.002)
    assert step(browser) == 0


@pytest.mark.parametrize("size", [(1366, 768), (1366, 650), (1920, 1080)])
@pytest.mark.parametrize(
    "schedules",
    [(0,), (0, 0), (1,), (1, 1), (2,), (2, 2)],
    ids=["bars", "two bars", "heat", "two heat", "scenario", "two scenarios"],
)
def test_the_page_fits_the_screen(size: tuple[int, int], schedules: Sequence[int], page: Page) -> None:
    kinds = [small_schedule(), large_schedule(100, 300), small_scenario()]
    browser = page.open(*(kinds[index] for index in schedules), step=3, width=size[0], height=size[1])
    scroll = browser.run("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
    assert tuple(scroll) == size
    heights = browser.run("[...document.querySelectorAll('.stage canvas')].map(c => c.clientHeight)")
    assert min(heights) > 130


_OVERLAPS = """(() => {
    const texts = "h1, h2, h3, p, dt, dd, li, button, select, input, small, b, th";
    const shown = [...document.querySelectorAll(texts)];
    const boxes = shown.filter((one) => !one.closest("dialog, .hidden, .scroll, .line"))
        .map((one) => [one, one.getBoundingClientRect()])
        .filter(([, box]) => box.width > 2 && box.height > 2);
    const found = [];
    boxes.forEach(([a, x], at) => boxes.slice(at + 1).forEach(([b, y]) => {
        const wide = Math.min(x.right, y.right) - Math.max(x.left, y.left);
        const high = Math.min(x.bottom, y.bottom) - Math.max(x.top, y.top);
        if (wide > 2 && high > 3 && !a.contains(b)) found.push(`${a.textContent} / ${b.textContent}`);
    }));
    return found;
})()"""


@pytest.mark.parametrize("width", [800, 1366])
@pytest.mark.parametrize("sides", [1, 2])
def test_nothing_overlaps(width: int, sides: int, page: Page) -> None:
    for schedule in (small_schedule(), large_schedule(100, 300), small_scenario()):
        browser = page.open(*[schedule] * sides, step=3, width=width)
        assert browser.run("document.documentElement.scrollWidth") <= width
        assert browser.run(_OVERLAPS) == []


def test_nothing_moves_while_it_plays(page: Page) -> None:
    browser = page.open(small_schedule())
    cards = """[...document.querySelectorAll('article, footer, canvas, .controls button')].map((element) => {
        const box = element.getBoundingClientRect();
        return [box.x, box.y, box.width, box.height].map(Math.round);
    })"""
    before = browser.run(cards)
    for _ in range(6):
        browser.press("ArrowRight")
        assert browser.run(cards) == before


@pytest.mark.parametrize("schedule", [small_schedule(), large_schedule(7, 200)], ids=["small", "large"])
def test_loads_agree_with_the_recording_at_every_position(schedule: Schedule, page: Page) -> None:
    browser = page.open(schedule)
    shown_page = ScheduleViewer().page([schedule])
    modules = bundle(shown_page.package, ["episode.js"])
    recording = json.dumps(shown_page.recordings[0])
    script = f"""(() => {{ {modules}
        const episode = new Episode({recording});
        return Array.from({{length: episode.length + 1}}, (_, p) => {{
            const loads = episode.loads(p);
            return [[...loads.cpu], [...loads.memory], episode.cpu[p], episode.memory[p]];
        }});
    }})()"""
    shown = browser.run(script)
    changes = schedule.node_changes()
    slots = 2 * len(schedule.servers.node_cpu)
    for position in range(len(schedule.events.time) + 1):
        past = changes.event < position
        for at, (size, node) in enumerate(
            [(changes.cpu, schedule.servers.node_cpu), (changes.memory, schedule.servers.node_memory)]
        ):
            used = np.bincount(changes.slot[past], size[past], slots)
            np.testing.assert_allclose(shown[position][at], used, atol=1e-9)
            assert shown[position][2 + at] == pytest.approx(used.sum() / (2 * node.sum()), abs=1e-9)
