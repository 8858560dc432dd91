"""Colors of optimizers, and labels at the ends of lines."""

from __future__ import annotations

import numpy as np
import pytest

import nncore as nn
from nncore.optimizers import OPTIMIZERS
from nncore.second_order import OPTIMIZERS as SECOND_ORDER

pytest.importorskip("matplotlib")

from matplotlib.figure import Figure

GAP = 1.15  # the default of label_ends
INSIDE = {"WeightDecay", "EMA", "PolyakAveraging", "GradientNoise", "ScipyMinimize"}  # these have the color of what is within


def test_every_optimizer_has_a_color_of_its_own() -> None:
    classes = {cls.__name__ for registry in (OPTIMIZERS, SECOND_ORDER) for cls in registry.values()}
    missing = classes - set(nn.figures.OPTIMIZER_COLORS) - INSIDE
    assert missing == set()
    assert len(set(nn.figures.OPTIMIZER_COLORS.values())) == len(nn.figures.OPTIMIZER_COLORS)


def test_colors_of_other_names_are_those_of_the_palette() -> None:
    found = nn.figures.colors(["a", "Adam, lr 1", "b", "Adam", "adamant", "rmsprop", "L-BFGS"])
    palette, own = nn.figures.PALETTE, nn.figures.OPTIMIZER_COLORS
    adam = own["Adam"]
    assert list(found.values()) == [palette[0], adam, palette[1], adam, palette[2], own["RMSprop"], own["LBFGS"]]


def labeled(*ends: float, scale: str = "linear") -> tuple[list[float], list[float], list[str]]:
    """Heights in points of the labels and of the ends of lines; and the texts."""
    figure = Figure(figsize=(6, 4), dpi=100)
    ax = figure.subplots()
    ax.set_yscale(scale)
    for i, end in enumerate(ends):
        ax.plot([0, 1, 2], [1, 0.5, end], label=f"line {i}")
    ax.plot([0, 2], [0.1, 0.2])
    nn.figures.label_ends(ax, fontsize=10)
    figure.draw_without_rendering()
    tops = [text.get_window_extent().y0 + text.get_window_extent().height / 2 for text in ax.texts]
    pixels = [float(ax.transData.transform((2, end))[1]) for end in ends]
    return [t * 0.72 for t in tops], [p * 0.72 for p in pixels], [text.get_text() for text in ax.texts]


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_labels_stand_at_the_ends_of_their_lines(scale: str) -> None:
    labels, ends, texts = labeled(0.2, 0.9, 0.5, scale=scale)
    np.testing.assert_allclose(labels, ends, atol=1)
    assert texts == ["line 0", "line 1", "line 2"]  # none for the line without a label


def test_labels_of_equal_ends_are_moved_apart_about_their_middle() -> None:
    labels, ends, _ = labeled(0.5, 0.5, 0.5)
    np.testing.assert_allclose(np.diff(np.sort(labels)), 10 * GAP, atol=1.5)
    np.testing.assert_allclose(np.mean(labels), ends[0], atol=1)


def test_labels_stay_within_the_axes() -> None:
    labels, _, _ = labeled(1.0, 1.0, 1.0)  # at the upper edge
    assert max(labels) <= 0.72 * 400


def test_lines_without_labels_and_unknown_labels_are_refused() -> None:
    ax = Figure().subplots()
    with pytest.raises(ValueError, match="label_ends needs axes with lines that have labels, got none"):
        nn.figures.label_ends(ax)
    ax.plot([1, 2], label="a")
    with pytest.raises(ValueError, match=r"labels must name lines of the axes, 'a', got 'b'"):
        nn.figures.label_ends(ax, {"b": "c"})
    nn.figures.label_ends(ax, {"a": "c"})
    assert ax.texts[-1].get_text() == "c"


def test_style_for_slides() -> None:
    import matplotlib.style

    with matplotlib.style.context("nncore.slide"):
        assert matplotlib.rcParams["font.size"] == 13
        assert tuple(matplotlib.rcParams["axes.prop_cycle"].by_key()["color"]) == nn.figures.PALETTE
