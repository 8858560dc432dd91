"""Pictures of curvature."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nncore.figures import SavePath, finish, one_axes
from nncore.history import History
from nncore.landscapes._figures import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from nncore.second_order.report import Curvature

__all__ = ["plot_conditioning", "plot_spectrum"]


def plot_spectrum(report: Curvature, path: SavePath = None, ax: Axes | None = None) -> Figure:
    """The spectral density of a report on a logarithmic axis, and the eigenvalues of both ends as marks."""
    figure, ax = one_axes("Curvature.plot", path, ax)
    low, high = float(report.smallest[0]), float(report.largest[-1])
    margin = 0.05 * (high - low) or 1.0
    at = np.linspace(low - margin, high + margin, 1000)
    density = report.density(at)
    ax.semilogy(at, density, color=COLOURS[0], label="spectral density")
    ax.fill_between(at, density, 1e-300, color=COLOURS[0], alpha=0.15, linewidth=0)
    ends = np.unique(np.concatenate([report.smallest, report.largest]))
    floor = max(density.max() * 1e-8, 0.3 * float(density[density > 0].min()))
    label = "all eigenvalues" if report.exact else "eigenvalues of either end"
    ax.plot(ends, np.full(len(ends), 2.5 * floor), "|", color=COLOURS[1], markersize=12, markeredgewidth=1.2, label=label)
    ax.axvline(0, color="0.6", linewidth=0.8, zorder=0)
    ax.set_ylim(floor, 3 * density.max())
    ax.set_xlabel(f"eigenvalue of the {report.kind}")
    ax.set_ylabel("density")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, borderaxespad=0.2)
    return finish(figure, path)


def plot_conditioning(history: History, path: SavePath = None, ax: Axes | None = None) -> Figure:
    """The terms of l − ε gᵀg + ½ε² gᵀHg along a training; a curvature term that is negative is drawn dotted."""
    figure, ax = one_axes("ConditioningMonitor.plot", path, ax)
    epochs = np.arange(1, len(history) + 1)
    slope, bent = -history["taylor_slope"], history["taylor_curvature"]
    curves: list[tuple[str, Any, str]] = [("loss l", history["taylor_loss"], "-"), ("slope ε gᵀg", slope, "-")]
    curves.append(("curvature ½ε² gᵀHg", np.where(bent > 0, bent, np.nan), "-"))
    if (bent < 0).any():
        curves.append(("curvature, negative", np.where(bent < 0, -bent, np.nan), ":"))
    for i, (label, values, line) in enumerate(curves):
        seen = np.isfinite(values)
        marker = "o" if seen.sum() <= 20 else ""
        ax.semilogy(epochs[seen], values[seen], line, color=COLOURS[min(i, 2)], marker=marker, markersize=3, label=label)
    ax.set_xlabel("epochs trained")
    ax.set_ylabel("term of the expansion, absolute")
    ax.grid(alpha=0.3)
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, borderaxespad=0.2)
    return finish(figure, path)
