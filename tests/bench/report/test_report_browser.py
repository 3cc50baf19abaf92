"""report.html in a real browser: no console error, tables sort, a sample plays, phone width and dark mode."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

CHROMEDRIVER = shutil.which("chromedriver")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WAIT_S = 600.0
SWITCHES = (
    "headless=new",
    "no-sandbox",
    "disable-gpu",
    "disable-quic",
    "no-first-run",
    "disable-background-networking",
    "disable-component-update",
    "disable-sync",
)

pytestmark = pytest.mark.skipif(not (CHROMEDRIVER and BROWSER), reason="needs chromium and chromedriver on PATH")


class Browser:
    """A headless Chromium behind chromedriver's HTTP interface."""

    def __init__(self, profile: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"http://127.0.0.1:{free.getsockname()[1]}"
        port = self.address.rsplit(":", 1)[1]
        self.process = subprocess.Popen([CHROMEDRIVER, f"--port={port}"], stdout=subprocess.DEVNULL)
        self.session = ""
        arguments = [f"--{name}" for name in SWITCHES] + [f"--user-data-dir={profile}"]
        options = {"args": arguments, "binary": BROWSER}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        self._wait_until_up()
        opened = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self.session = f"/session/{opened['sessionId']}"

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            try:
                self._call("GET", "/status")
                return
            except OSError:
                time.sleep(0.1)
        raise TimeoutError("chromedriver did not answer")

    def _call(self, method: str, path: str, body: dict | None = None) -> object:
        data = json.dumps(body or {}).encode() if method == "POST" else None
        request = urllib.request.Request(
            self.address + self.session + path, method=method, data=data, headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()[:500]) from error

    def open(self, path: Path) -> None:
        self._call("POST", "/url", {"url": path.as_uri()})

    def run(self, script: str) -> object:
        return self._call("POST", "/execute/sync", {"script": script, "args": []})

    def click(self, selector: str) -> None:
        found = self._call("POST", "/element", {"using": "css selector", "value": selector})
        self._call("POST", f"/element/{next(iter(found.values()))}/click")

    def command(self, name: str, **parameters: object) -> None:
        self._call("POST", "/goog/cdp/execute", {"cmd": name, "params": parameters})

    def errors(self) -> list[str]:
        entries = self._call("POST", "/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] in ("SEVERE", "WARNING")]

    def until(self, script: str) -> object:
        """Wait for the script to return something true."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            value = self.run(script)
            if value:
                return value
            time.sleep(0.05)
        raise TimeoutError(script)

    def close(self) -> None:
        try:
            self._call("DELETE", "")
        finally:
            self.process.terminate()
            self.process.wait(timeout=WAIT_S)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    opened = Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture
def page(browser, frame, results_folder):
    from bench.report import write_report

    write_report(results_folder, table=frame)
    browser.open(results_folder / "report.html")
    yield browser
    assert browser.errors() == []


COLUMN = "return [...document.querySelectorAll('#table-cost_step_latency tbody tr')].map(r => r.cells[0].textContent)"


def test_page_sorts_plays_and_fits_a_phone_in_the_dark(page):
    first_screen = "return [...document.querySelectorAll('#answer p, #table-summary td:nth-child(2)')]"
    first_screen += ".map(e => e.getBoundingClientRect()).every(r => r.bottom < {} && r.right < {})"
    assert page.run(first_screen.format(800, 1280))
    assert page.run("return document.documentElement.scrollHeight") < 6000

    page.run("document.querySelector('#cost').open = true")
    head = "#table-cost_step_latency thead th:nth-child(5) button"
    page.click(head)
    assert page.run(COLUMN) == ["mamba", "smdim", "transformer", "fam"]  # 96, 112, 368 ms, none
    page.click(head)
    assert page.run(COLUMN) == ["transformer", "smdim", "mamba", "fam"]

    page.click(".sample:last-child button")
    page.until("return document.querySelector('.sample:last-child').dataset.audio === 'running'")
    page.until("return Number(document.querySelector('.sample:last-child').dataset.played) >= 2")
    assert page.run("return document.querySelector('.sample:last-child button').textContent") == "Stop"
    page.click(".sample:last-child button")
    assert page.run("return document.querySelector('.sample:last-child button').textContent") == "Play"

    ink = "const c = document.querySelector('.sample canvas'); return [...c.getContext('2d')"
    ink += ".getImageData(0, 0, c.width, c.height).data].filter((v, i) => i % 4 === 3 && v > 90).length"
    assert page.run(ink) > 100  # the roll is drawn

    light = page.run("return getComputedStyle(document.body).backgroundColor")
    page.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    dark = page.run("return getComputedStyle(document.body).backgroundColor")
    assert (light, dark) == ("rgb(255, 255, 255)", "rgb(22, 24, 27)")

    page.command("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=2, mobile=True)
    assert page.run("return document.documentElement.scrollWidth") <= 390
    assert page.run(first_screen.format(844, 390))
    shown = "return [...document.querySelectorAll('#table-cost_step_latency td:nth-child(3)')]"
    assert page.run(f"{shown}.every(e => e.getBoundingClientRect().right < 390)")  # costs at two lengths at least
    assert page.run("return parseFloat(getComputedStyle(document.querySelector('li')).fontSize)") >= 14
