"""The playground within a notebook: a widget of anywidget."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

from nncore.playground.bundle import STATIC, bundle, styles
from nncore.playground.sessions import Session

__all__ = ["widget"]


def widget(session: Session) -> Any:
    """A widget that shows a session, and ends it when it is closed."""
    return _kind()(session)


@cache
def _kind() -> type:
    """The class, made when it is needed: anywidget is optional."""
    try:
        import anywidget
    except ImportError:
        raise ImportError('nn.playground needs anywidget in a notebook: pip install "nncore-learn[play]"') from None

    class Playground(anywidget.AnyWidget):
        """A page's half of the conversation is in ``static``, this is the other one."""

        _esm = bundle(STATIC)
        _css = styles(STATIC)

        def __init__(self, session: Session) -> None:
            self._session = session
            self._requests = ThreadPoolExecutor(1, "nncore playground")  # one after the other
            super().__init__()
            self.on_msg(self._received)

        def _received(self, _: Any, content: dict[str, Any], __: list[Any]) -> None:
            """In the kernel's event loop, which goes on with cells while the session computes; the reply is sent from it."""
            replied = asyncio.get_running_loop().run_in_executor(self._requests, self._session.handle, content)
            replied.add_done_callback(self._reply)

        def _reply(self, replied: asyncio.Future[tuple[dict[str, Any], bytes]]) -> None:
            header, data = replied.result()
            self.send(header, [data] if header.get("arrays") else [])

        def close(self) -> None:
            """End the training too."""
            self._requests.shutdown(wait=False, cancel_futures=True)
            self._session.close()
            super().close()

    return Playground
