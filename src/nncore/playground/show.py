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
        The network to begin with: its layers and its seed, from which the weights are drawn anew; it is not changed. Dense
        layers with an activation each, and batch or layer normalization and dropout where the playground puts them.
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

    Raises
    ------
    ValueError, TypeError
        If X and y do not fit together, or the network has layers that the playground does not draw.
    """
    from nncore.playground import spec
    from nncore.playground.datasets import Own
    from nncore.playground.session import Session

    if (X is None) != (y is None):
        raise ValueError(f"X and y must be given together, got {'y' if X is None else 'X'} alone")
    own = None if X is None else Own.of(X, y)
    first = spec.default(own) if model is None else spec.of_model(model, own)
    if _in_notebook():
        from nncore.playground.widget import widget

        return widget(Session(own, first))
    from nncore.playground.server import run

    return run(lambda: Session(own, first), port, browser=browser)


def _in_notebook() -> bool:
    """Whether this is the kernel of a notebook: Jupyter's (as in VS Code and Colab), or marimo's."""
    ipython, marimo = sys.modules.get("IPython"), sys.modules.get("marimo")
    if marimo is not None and marimo.running_in_notebook():
        return True
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")
