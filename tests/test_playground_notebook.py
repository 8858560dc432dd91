"""The playground in notebooks: the modules of the page as one, and the widget."""

from __future__ import annotations

import asyncio
import inspect
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from helpers.playground import Echo

import nncore as nn
from nncore.playground.bundle import STATIC, bundle, styles


def test_it_is_called_whatever_was_imported_before() -> None:
    assert callable(nn.playground)
    assert [*inspect.signature(nn.playground).parameters][:3] == ["model", "X", "y"]
    with pytest.raises(ValueError, match="X and y must be given together"):
        nn.playground(X=[[0.0, 1.0]])


# --- one module


def modules(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        (folder / f"{name}.js").write_text(text, encoding="utf-8")
    return folder


def test_modules_in_the_order_in_which_they_need_each_other(tmp_path: Path) -> None:
    folder = modules(
        tmp_path,
        main='import { a } from "./a.js";\nimport { b, c } from "./b.js";\nexport function render() { a(b + c); }\n',
        a='import { b } from "./b.js";\nexport function a(x) { return x + b; }\n',
        b="/** @type {import('./types').X} */\nexport const b = 1;\nexport const c = 2;\n",
        unused="export const d = 1;\n",
    )
    assert bundle(folder) == (
        "/** @type {import('./types').X} */\nconst b = 1;\nconst c = 2;\n\nfunction a(x) { return x + b; }\n\n"
        "export function render() { a(b + c); }\n"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('import { a as b } from "./a.js";\n', "main.js cannot be bundled: import { a as b }"),
        ('import * as a from "./a.js";\n', "main.js cannot be bundled: import"),
        ('import {\n  a,\n} from "./a.js";\n', "main.js cannot be bundled: import {"),
        ("export default function render() {}\n", "main.js cannot be bundled: export default"),
        ("function a() {}\nexport { a };\n", "main.js cannot be bundled: export { a }"),
        ("const { a } = {};\n", "main.js cannot be bundled: const { a }"),
        ('import { a } from "./a.js";\nclass a {}\n', "a is a top-level name in a.js and in main.js"),
    ],
)
def test_what_cannot_be_one_module(tmp_path: Path, text: str, message: str) -> None:
    modules(tmp_path, main=text, a="export function a() {}\n")
    with pytest.raises(ValueError) as raised:
        bundle(tmp_path)
    assert str(raised.value).startswith(message)


def test_the_page_as_one_module() -> None:
    text = bundle(STATIC)
    assert [line for line in text.splitlines() if line.startswith("export")] == ["export function render({ model, el }) {"]
    assert "WebSocket" not in text
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "") + styles(STATIC)
    assert "https://" not in text + styles(STATIC)


# --- the widget


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Any:
    pytest.importorskip("anywidget")
    from nncore.playground.widget import widget

    made = widget(Echo())
    sent: list[Any] = []
    monkeypatch.setattr(type(made), "send", lambda _, header, buffers=None: sent.append((header, buffers)))
    made.sent = sent
    yield made
    made.close()


def test_what_the_widget_shows(made: Any) -> None:
    assert made._esm == bundle(STATIC)
    assert ".nncore-play" in made._css


def test_replies_of_the_widget_in_order(made: Any) -> None:
    async def ask() -> None:
        for number, kind in enumerate(("hello", "frame", "step")):
            made._handle_custom_msg({"type": kind, "id": number}, [])
        end = time.monotonic() + 10
        while len(made.sent) < 3 and time.monotonic() < end:
            await asyncio.sleep(0.01)

    asyncio.run(ask())
    assert [header["id"] for header, _ in made.sent] == [0, 1, 2]
    assert [len(buffers) for _, buffers in made.sent] == [0, 1, 0]


def test_closing_the_widget_ends_the_session() -> None:
    pytest.importorskip("anywidget")
    from nncore.playground.widget import widget

    session = Echo()
    widget(session).close()
    assert session.closed


def test_a_notebook_gets_a_widget(monkeypatch: pytest.MonkeyPatch) -> None:
    anywidget = pytest.importorskip("anywidget")
    ipython = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=object()))
    monkeypatch.setitem(sys.modules, "IPython", ipython)  # type: ignore[arg-type]
    shown = nn.playground()
    assert isinstance(shown, anywidget.AnyWidget)
    shown.close()


def test_without_anywidget(monkeypatch: pytest.MonkeyPatch) -> None:
    from nncore.playground import widget

    widget._kind.cache_clear()
    monkeypatch.setitem(sys.modules, "anywidget", None)
    with pytest.raises(ImportError, match=r'needs anywidget in a notebook: pip install "nncore-learn\[play\]"'):
        widget.widget(Echo())
