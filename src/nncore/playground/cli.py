"""The command ``nncore play``."""

from __future__ import annotations

import argparse
import re
from typing import Any

from nncore._messages import shown

__all__ = ["add_parser"]


def add_parser(commands: Any) -> None:
    """Add the command to those of the command line."""
    play = commands.add_parser(
        "play", help="a page in the browser on which networks train live",
        description="Open a page on which networks train live. It is served to this machine alone, and needs no network.",
    )  # fmt: skip
    play.add_argument("--port", type=int, default=0, help="of the address (default: a free one)")
    play.add_argument(
        "--token", metavar="TEXT", help="the secret in the address; with --port, links stay valid (default: a new one)"
    )
    play.add_argument("--no-browser", action="store_true", help="only print the address")
    play.set_defaults(run=run)


def run(options: argparse.Namespace) -> list[str]:
    """Serve the page until Ctrl-C; no more is printed then."""
    if not 0 <= options.port < 1 << 16:
        raise ValueError(f"--port must be from 0 to 65535, got {options.port}")
    if options.token is not None and not re.fullmatch(r"[\w-]{8,64}", options.token, re.ASCII):
        raise ValueError(f"--token must be 8 to 64 letters, digits, - and _, got {shown(options.token)}")
    from nncore.playground import server  # only now: it needs websockets
    from nncore.playground.session import Session

    server.run(Session, options.port, options.token, browser=not options.no_browser)
    return []
