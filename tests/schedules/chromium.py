"""Headless Chromium, driven over its DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import subprocess
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
from time_limits import ANSWER_S

EXECUTABLE = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_SWITCHES = (
    "--headless",
    "--no-sandbox",  # it does not start as root otherwise, as in a container
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
)
_KEYS = {" ": "Space", "ArrowLeft": "ArrowLeft", "ArrowRight": "ArrowRight"}
_SHIFT = 8

Result = TypeVar("Result")


class Chromium:
    """One tab. `problems` holds what the page threw or logged, `requests` the addresses it asked for."""

    def __init__(self, profile: Path) -> None:
        assert EXECUTABLE is not None
        command = [EXECUTABLE, *_SWITCHES, f"--user-data-dir={profile}", "about:blank"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.loop = asyncio.new_event_loop()
        self.calls = 0
        self.problems: list[str] = []
        self.requests: list[str] = []
        self._wait(self._connect(profile / "DevToolsActivePort"))
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        """End the browser."""
        self._wait(self.session.close())
        self.loop.close()
        self.process.terminate()
        self.process.wait(ANSWER_S)

    def _wait(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self.loop.run_until_complete(asyncio.wait_for(work, ANSWER_S))

    async def _connect(self, port_file: Path) -> None:
        while not port_file.exists() or "\n" not in port_file.read_text():
            assert self.process.poll() is None, f"{EXECUTABLE} ended with {self.process.returncode}"
            await asyncio.sleep(0.05)
        port = port_file.read_text().split()[0]
        self.session = aiohttp.ClientSession()
        async with self.session.get(f"http://127.0.0.1:{port}/json") as response:
            (page,) = [target for target in await response.json() if target["type"] == "page"]
        self.socket = await self.session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol."""
        return self._wait(self._call(method, parameters))

    async def _call(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        self.calls += 1
        await self.socket.send_json({"id": self.calls, "method": method, "params": parameters})
        while True:
            message = json.loads((await self.socket.receive()).data)
            if message.get("id") == self.calls:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        if message["method"] in ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled"):
            self.problems.append(json.dumps(message["params"]))
        elif message["method"] == "Network.requestWillBeSent":
            self.requests.append(message["params"]["request"]["url"])

    def open(self, address: str, width: int = 1366, height: int = 768, dark: bool = False) -> None:
        """Open a page and wait until it has drawn."""
        self.problems.clear()
        self.requests.clear()
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url="about:blank")  # else a new #fragment alone loads nothing
        self.call("Page.navigate", url=address)
        self.until("location.href !== 'about:blank' && document.readyState === 'complete'")
        self.drawn()

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression, awaited."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def drawn(self) -> None:
        """Wait until the page has drawn what it was told."""
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def until(self, condition: str) -> None:
        """Wait until a JavaScript expression is true."""
        end = time.monotonic() + ANSWER_S
        while not self.run(condition):
            assert time.monotonic() < end, f"never: {condition}"
            time.sleep(0.02)

    def press(self, key: str, shift: bool = False) -> None:
        """Press a key where the focus is."""
        text = {"text": key} if len(key) == 1 else {}
        event = {"key": key, "code": _KEYS.get(key, key), "modifiers": _SHIFT * shift}
        self.call("Input.dispatchKeyEvent", type="keyDown", **event, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **event)
        self.drawn()

    def click(self, selector: str, x: float = 0.5, y: float = 0.5) -> None:
        """Click on an element, at those shares of its width and height."""
        self._mouse(selector, (x, x), y)

    def drag(self, selector: str, x: float, to: float) -> None:
        """Press on an element at the share `x` of its width, move to the share `to` and release."""
        self._mouse(selector, (x, to), 0.5)

    def _mouse(self, selector: str, xs: tuple[float, float], y: float) -> None:
        box = self.run(f"document.querySelector({json.dumps(selector)}).getBoundingClientRect().toJSON()")
        for kind, x in zip(
            ("mousePressed", "mouseMoved", "mouseReleased"), (xs[0], *xs[1:] * 2), strict=True
        ):
            at = {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]}
            self.call("Input.dispatchMouseEvent", type=kind, **at, button="left", buttons=1, clickCount=1)
        self.drawn()

    def text(self, selector: str, index: int = 0) -> str:
        """The text of the element that matches, or of one of several."""
        return str(self.run(f"document.querySelectorAll({json.dumps(selector)})[{index}].textContent.trim()"))

    def screenshot(self, file: Path) -> None:
        """Write what is shown to a PNG file."""
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))
