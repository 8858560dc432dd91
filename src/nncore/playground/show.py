"""``nn.playground``."""

from __future__ import annotations

import sys
from typing import Any

import nncore as nn

__all__ = ["playground"]


def playground(model: nn.Sequential | None = None, X: Any = None, y: Any = None, *, port: int = 0, browser: bool = True) -> Any:
    """Networks that train live: a widget in a notebook, elsewhere a page in the browser, until Ctrl-C.

    Optimizers, layers, losses and schedules can be changed while it runs; two runs can be compared side by side, and every
    number is shown on a click. ``nncore play`` is the same from the command line.

    Parameters
    ----------
    model : Sequential, optional
        The network to begin with. It is copied: training it here does not change it.
    X, y : array_like, optional
        Data to train on; without them there are data sets to choose from.
    port : int
        Of the page's address, outside notebooks; 0: a free one.
    browser : bool
        Open the page; otherwise its address is only printed.

    Returns
    -------
    widget or None
        In a notebook the widget, which is shown where it is the last expression of a cell; ``close()`` ends its training.
    """
    from nncore.playground.session import Own, Session

    own = None if model is None and X is None and y is None else Own(model, X, y)
    if _in_notebook():
        from nncore.playground.widget import widget

        return widget(Session(own))
    from nncore.playground.server import run

    return run(lambda: Session(own), port, browser=browser)


def _in_notebook() -> bool:
    """Whether this is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")
