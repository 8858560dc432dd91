"""The page of the playground in a browser: what its controls do, and what it survives. Skipped without Chromium.

The environment variable ``NNCORE_MONKEY`` is the number of random clicks, drags and keys, 300 by default.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import shutil
import signal
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from helpers.playground import Process

pytest.importorskip("websockets")
api = pytest.importorskip("playwright.sync_api", reason="needs playwright")

from playwright.sync_api import Browser, BrowserContext, Locator, Page, WebSocket, expect

from nncore.playground.bundle import STATIC, bundle, styles
from nncore.playground.catalog import catalog
from nncore.playground.lessons import LESSONS
from nncore.playground.session import Session

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")

MONKEY = int(os.environ.get("NNCORE_MONKEY", "300"))
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
CATALOG = catalog()


class Watched:
    """A page, and all that it says: to the console, to Python, and to anyone else."""

    def __init__(self, page: Page, address: str) -> None:
        self.page, self.address = page, address
        self.errors: list[str] = []
        self.remote: list[str] = []
        self.replies: list[dict[str, Any]] = []
        page.set_default_timeout(20_000)
        page.on(
            "console",
            lambda said: said.type in ("error", "warning") and self.errors.append(f"{said.text} {said.location['url']}"),
        )
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self._to(request.url))
        page.on("websocket", self._socket)

    def _to(self, url: str) -> None:
        if not url.startswith((self.address, f"ws{self.address[4:]}", "blob:", "data:", "about:")):
            self.remote.append(url)

    def _socket(self, socket: WebSocket) -> None:
        self._to(socket.url)
        socket.on("framereceived", lambda data: self.replies.append(header(data)))

    def open(self, fragment: str = "") -> Page:
        """The page, when its networks are shown."""
        self.page.goto(self.address + fragment)
        expect(self.page.locator(".counts")).to_be_visible()
        self.until(lambda: any(reply["type"] == "frame" for reply in self.replies))
        return self.page

    def until(self, condition: Callable[[], bool], seconds: float = 20) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, (self.errors, [reply["type"] for reply in self.replies[-5:]])
            self.page.wait_for_timeout(10)

    def change(self, act: Callable[[], Any]) -> dict[str, Any]:
        """The state that Python has adopted after an action."""
        before = len(self.replies)
        act()
        self.until(lambda: any(reply["type"] in ("adopted", "refused") for reply in self.replies[before:]))
        (reply, *_) = [reply for reply in self.replies[before:] if reply["type"] in ("adopted", "refused")][-1:]
        assert reply["type"] == "adopted", reply
        return reply["state"]  # type: ignore[no-any-return]

    def choose(self, label: str, name: str) -> dict[str, Any]:
        """The state after a choice from the list with that label; as it is where this was chosen already."""
        select = self.page.get_by_label(label, exact=True).first
        if select.input_value() == name:
            self.change(lambda: select.select_option(index=1 if select.evaluate("(list) => list.selectedIndex") == 0 else 0))
        return self.change(lambda: select.select_option(name))

    def enter(self, box: Locator, value: float) -> dict[str, Any]:
        """The state after a number was typed."""
        self.page.wait_for_timeout(400)  # until what the change before has renewed is there
        box.fill(str(value))
        return self.change(lambda: box.press("Enter"))

    def frame(self) -> dict[str, Any]:
        """The first frame that arrives from now on."""
        before = len(self.replies)
        self.until(lambda: any(reply["type"] == "frame" for reply in self.replies[before:]))
        return next(reply for reply in self.replies[before:] if reply["type"] == "frame")

    def steps(self) -> int:
        return int(self.page.locator(".counts b").first.inner_text().replace(",", ""))


def header(data: str | bytes) -> dict[str, Any]:
    if isinstance(data, bytes):
        (length,) = struct.unpack("<I", data[:4])
        data = data[4 : 4 + length].decode()
    return json.loads(data)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def playground() -> Iterator[Process]:
    process = Process()
    yield process
    out, err = process.end()
    assert (out, err) == ("stopped\n", "")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with api.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(viewport={"width": 1400, "height": 900}, permissions=["clipboard-read", "clipboard-write"])
    yield made
    made.close()


@pytest.fixture
def watched(context: BrowserContext, playground: Process) -> Iterator[Watched]:
    page = Watched(context.new_page(), playground.address)
    yield page
    assert page.errors == []
    assert page.remote == []


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name).first


# --- what is seen first, and the clock


def test_the_network_learns(watched: Watched) -> None:
    page = watched.open()
    button(page, "▶ Play").click()
    expect(button(page, "Pause")).to_be_visible()
    watched.until(lambda: watched.steps() > 200)
    button(page, "Pause").click()
    expect(button(page, "▶ Play")).to_be_visible()
    frames = [reply for reply in watched.replies if reply["type"] == "frame"]
    assert frames[-1]["runs"][0]["loss"] < frames[0]["runs"][0]["loss"]
    stopped = frames[-1]["runs"][0]["step"]
    watched.until(lambda: watched.steps() >= stopped)
    button(page, "Reset").click()
    watched.until(lambda: watched.steps() == 0)


def test_steps_and_keys(watched: Watched) -> None:
    page = watched.open()
    button(page, "Step →").click()
    watched.until(lambda: watched.steps() == 1)
    page.keyboard.press("ArrowRight")
    watched.until(lambda: watched.steps() == 2)
    button(page, "Epoch").click()
    batches = watched.frame()["runs"][0]["batches"]
    watched.until(lambda: watched.steps() == batches)
    page.locator(".counts").click()
    page.keyboard.press("Space")
    watched.until(lambda: watched.steps() > batches)
    expect(button(page, "Pause")).to_be_visible()
    page.keyboard.press("Space")
    expect(button(page, "▶ Play")).to_be_visible()


def test_phase_by_phase(watched: Watched) -> None:
    page = watched.open()
    for phase in ("forward", "loss", "backward", "update", "forward"):
        button(page, "Phase by phase").click()
        watched.until(lambda phase=phase: watched.frame()["runs"][0]["phase"] == phase)  # type: ignore[misc]


def test_phases_and_then_fewer_examples(watched: Watched) -> None:
    """An example of the batch that is no longer there does not stop the frames."""
    page = watched.open()
    for _ in range(2):
        button(page, "Phase by phase").click()
    watched.until(lambda: any(r["type"] == "frame" and r["runs"][0]["batch"] for r in watched.replies))
    box = page.locator(".data-panel").get_by_label("examples: n", exact=True)
    box.fill("20")
    box.press("Enter")
    watched.until(lambda: any(r["type"] == "points" and r["arrays"][0]["shape"][0] < 20 for r in watched.replies))
    watched.frame()


def canvases(watched: Watched, steps: int) -> list[str]:
    """The pictures after some steps from a new start, as digests."""
    page = watched.open()
    for _ in range(steps):
        button(page, "Step →").click()
    watched.until(lambda: watched.steps() == steps)
    page.mouse.move(0, 0)
    page.wait_for_timeout(1000)
    pictures = page.evaluate("[...document.querySelectorAll('.stage canvas')].map((canvas) => canvas.toDataURL())")
    return [hashlib.sha256(picture.encode()).hexdigest() for picture in pictures]


def test_the_same_pictures_twice(browser: Browser, playground: Process) -> None:
    found = []
    for _ in range(2):
        with browser.new_context(viewport={"width": 1400, "height": 900}) as context:
            found.append(canvases(Watched(context.new_page(), playground.address), 7))
    assert len(found[0]) > 4
    assert found[0] == found[1]


# --- each control changes what it says


def test_optimizers_and_their_parameters(watched: Watched) -> None:
    page = watched.open()
    boxes = page.locator(".controls .named").first.locator(".parameters input[type=number]")
    for optimizer in CATALOG["optimizers"]:
        state = watched.choose("optimizer", optimizer["name"])
        assert state["runs"][0]["optimizer"]["name"] == optimizer["name"]
        numbers = [p for p in optimizer["parameters"] if p["kind"] in ("number", "fraction", "integer")]
        expect(boxes).to_have_count(len(numbers))
        for i, parameter in enumerate(numbers):
            low, high = parameter.get("minimum", 0.0), parameter.get("maximum", 1.0)
            value = low + 0.4 * (high - low)
            value = round(value) if parameter["kind"] == "integer" else float(f"{value:.3g}")
            assert watched.enter(boxes.nth(i), value)["runs"][0]["optimizer"][parameter["name"]] == value, parameter
        button(page, "Epoch").click()
        watched.until(lambda: watched.steps() > 0)
        button(page, "Reset").click()
        watched.until(lambda: watched.steps() == 0)


def test_other_choices_of_a_run(watched: Watched) -> None:
    watched.open()
    for label, key in (("schedule", "schedules"), ("regularizer", "regularizers"), ("clip", "clips")):
        for choice in CATALOG[key]:
            assert watched.choose(label, choice["name"])["runs"][0][label]["name"] == choice["name"]
    for loss in CATALOG["losses"]["classification"]:
        assert watched.choose("loss", loss["name"])["runs"][0]["loss"] == loss["name"]


def test_choices_of_all_layers(watched: Watched) -> None:
    watched.open()
    choices = (
        ("activation", "activations", "activation"),
        ("normalize", "norms", "norm"),
        ("initialize", "initializers", "init"),
    )
    for label, key, field in choices:
        for choice in CATALOG[key]:
            layers = watched.choose(label, choice["name"])["runs"][0]["layers"]
            assert {layer[field] for layer in layers} == {choice["name"]}


def test_numbers_of_a_run_and_of_the_data(watched: Watched) -> None:
    page = watched.open()
    for label, value in (("batch size: batch_size", 7), ("seed", 3), ("units", 5), ("dropout", 0.25)):
        run = watched.enter(page.locator(".controls").get_by_label(label, exact=True), value)["runs"][0]
        field = label.split(": ")[-1]
        assert run.get(field, run["layers"][0].get(field)) == value
    for label, field, value in (
        ("examples: n", "n", 120),
        ("noise", "noise", 0.2),
        ("held back: split", "split", 0.5),
        ("seed", "seed", 9),
    ):
        assert watched.enter(page.locator(".data-panel").get_by_label(label, exact=True), value)["data"][field] == value


def test_all_data(watched: Watched) -> None:
    page = watched.open()
    for data in CATALOG["datasets"]:
        thumbnail = page.locator(".data-panel button").filter(has=page.get_by_text(data["label"], exact=True))
        if data["name"] in ("own", "drawn") or thumbnail.get_attribute("aria-pressed") == "true":
            continue
        assert watched.change(thumbnail.click)["data"]["kind"] == data["name"]
        button(page, "Epoch").click()
        watched.until(lambda: watched.frame()["runs"][0]["step"] > 0)


def test_two_networks(watched: Watched) -> None:
    page = watched.open()
    assert len(watched.change(button(page, "Compare two").click)["runs"]) == 2
    expect(page.locator(".lane")).to_have_count(2)
    state = watched.change(lambda: page.get_by_label("optimizer", exact=True).nth(1).select_option("sgd"))
    assert [run["optimizer"]["name"] for run in state["runs"]] == ["adam", "sgd"]
    button(page, "Epoch").click()
    watched.until(lambda: watched.steps() > 0)
    assert len(watched.change(button(page, "Compare two").click)["runs"]) == 1


def test_copy_as_python(watched: Watched) -> None:
    page = watched.open()
    button(page, "Copy as Python").click()
    expect(page.locator(".notice")).to_contain_text("Copied")
    compile(page.evaluate("navigator.clipboard.readText()"), "copied", "exec")


def test_lessons(watched: Watched) -> None:
    page = watched.open()
    for lesson in LESSONS:
        button(page, "Lessons").click()
        assert watched.change(page.locator(".lesson-link").filter(has_text=lesson["title"]).click)["lesson"] == lesson["id"]
        page.locator(".prediction input").nth(lesson["right"]).check()
        state = watched.change(button(page, "Run it").click)
        assert state["view"] == lesson["state"]["view"]
        button(page, "Show the answer").click()
        expect(page.locator(".verdict")).to_contain_text("As you predicted")


def test_every_tab_fits(watched: Watched) -> None:
    page = watched.open()
    for width in (420, 1024, 1400, 1920):
        page.set_viewport_size({"width": width, "height": 900})
        for tab in ("Landscapes", "Momentum", "Initialization", "Lessons", "Network"):
            page.locator("nav").get_by_role("button", name=tab).click()
            page.wait_for_timeout(200)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, tab
        button(page, "light or dark").click()


# --- what it survives


def test_reload_while_it_trains(watched: Watched) -> None:
    page = watched.open()
    button(page, "▶ Play").click()
    watched.until(lambda: watched.steps() > 100)
    before = watched.steps()
    page.reload()
    expect(button(page, "Pause")).to_be_visible()
    assert watched.steps() >= before


def test_the_address_holds_everything(watched: Watched, browser: Browser) -> None:
    page = watched.open()
    watched.choose("optimizer", "rprop")
    watched.until(lambda: "#" in page.url)
    with browser.new_context() as other:
        copy = Watched(other.new_page(), watched.address)
        copy.open(page.url[page.url.index("#") :])
        expect(copy.page.get_by_label("optimizer", exact=True)).to_have_value("rprop")


def test_garbage_in_the_address(watched: Watched) -> None:
    for fragment in ("#", "#{}", "#%7B%22view%22%3A1%7D", "#" + "x" * 5000, "#null"):
        page = watched.open(fragment)
        page.reload()
        expect(page.get_by_label("optimizer", exact=True)).to_have_value("adam")


def test_a_second_tab_is_apart(watched: Watched, context: BrowserContext) -> None:
    page = watched.open()
    other = Watched(context.new_page(), watched.address)
    other.open()
    page.bring_to_front()
    button(page, "Step →").click()
    watched.until(lambda: watched.steps() == 1)
    other.page.wait_for_timeout(700)
    assert other.steps() == 0
    assert other.errors == []


def test_a_server_that_is_killed_and_comes_again(context: BrowserContext) -> None:
    first = Process("--token", "a-token-of-mine")
    watched = Watched(context.new_page(), first.address)
    page = watched.open()
    watched.choose("optimizer", "rprop")
    first.end(signal.SIGKILL)
    expect(page.get_by_role("alert")).to_contain_text("Connection lost")
    button(page, "▶ Play").click()
    second = Process("--token", "a-token-of-mine", "--port", str(first.port))
    expect(page.get_by_role("alert")).to_be_hidden()
    expect(page.get_by_label("optimizer", exact=True)).to_have_value("rprop")
    button(page, "Step →").click()
    watched.until(lambda: watched.steps() == 1)
    assert second.end() == ("stopped\n", "")
    assert all("ERR_CONNECTION_REFUSED" in error for error in watched.errors), watched.errors
    assert watched.remote == []


KEYS = (
    "Tab",
    "Shift+Tab",
    "Space",
    "Enter",
    "Escape",
    "ArrowRight",
    "ArrowLeft",
    "ArrowUp",
    "ArrowDown",
    "Delete",
    "5",
    "-",
    "Home",
)


def test_monkey(watched: Watched) -> None:
    """Random clicks, drags and keys, the same ones in every run."""
    page, draw = watched.open(), random.Random(0)

    def place() -> tuple[int, int]:
        return draw.randrange(1400), draw.randrange(900)

    for _ in range(MONKEY):
        match draw.choice(("click", "click", "click", "drag", "key", "key", "wheel", "tab")):
            case "click":
                page.mouse.click(*place())
            case "drag":
                page.mouse.move(*place())
                page.mouse.down()
                page.mouse.move(*place(), steps=3)
                page.mouse.up()
            case "key":
                page.keyboard.press(draw.choice(KEYS))
            case "wheel":
                page.mouse.wheel(0, draw.randrange(-900, 900))
            case "tab":
                page.keyboard.press("Escape")
                page.locator("nav button").nth(draw.randrange(5)).click()
        assert watched.errors == []
    page.keyboard.press("Escape")
    page.locator("nav").get_by_role("button", name="Network").click()
    button(page, "Reset").click()
    watched.until(lambda: watched.steps() == 0)
    button(page, "Step →").click()
    watched.until(lambda: watched.steps() == 1)


# --- in a notebook

MODEL = """
const callbacks = new Set();
window.model = {
  async send(content) {
    const [header, data] = await window.handle(content);
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    for (const callback of callbacks) callback(header, data ? [new DataView(bytes.buffer)] : []);
  },
  on: (event, callback) => event === "msg:custom" && callbacks.add(callback),
  off: (event, callback) => callbacks.delete(callback),
};
"""


def test_the_bundle_as_a_notebook_shows_it(context: BrowserContext) -> None:
    page = Watched(context.new_page(), "about:blank")
    session = Session()

    def handle(content: dict[str, Any]) -> tuple[dict[str, Any], str]:
        reply, data = session.handle(content)
        return reply, base64.b64encode(data).decode()

    page.page.expose_function("handle", handle)
    page.page.set_content("<div id=cell></div>")
    page.page.add_style_tag(content=styles(STATIC))
    page.page.add_script_tag(content=MODEL)
    start = "window.remove = render({ model: window.model, el: document.getElementById('cell') });"
    page.page.add_script_tag(type="module", content=bundle(STATIC) + start)
    expect(page.page.locator(".network-panel canvas").first).to_be_visible()
    button(page.page, "Step →").click()
    page.until(lambda: page.steps() == 1)
    page.page.evaluate("window.remove()")
    expect(page.page.locator(".nncore-play")).to_have_count(0)
    session.close()
    assert page.errors == []
    assert page.remote == []
