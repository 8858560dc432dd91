import builtins
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nncore.history import History


@pytest.fixture
def history():
    h = History()
    for e in range(30):
        h.append({"loss": 2 * 0.9**e, "accuracy": 1 - 0.8 * 0.9**e, "val_loss": 1 + (e - 10) ** 2 / 100, "lr": 1e-3})
    return h


def test_columns_rows_and_values(history):
    assert len(history) == 30
    assert history.columns == list(history) == ["loss", "accuracy", "val_loss", "lr"]
    assert history["loss"].dtype == np.float64
    assert history["loss"].shape == (30,)
    assert history["loss"][3] == 2.0 * 0.9**3
    assert "lr" in history
    assert "nothing" not in history


def test_a_column_is_a_copy(history):
    history["loss"][0] = 7
    assert history["loss"][0] == 2.0


def test_columns_may_start_late_and_have_gaps():
    h = History()
    h.append({"loss": np.float32(0.5)})
    h.append({"loss": 1, "val_loss": None})
    h.append({"val_loss": 0.25})
    np.testing.assert_array_equal(h["loss"], [0.5, 1, np.nan])
    np.testing.assert_array_equal(h["val_loss"], [np.nan, np.nan, 0.25])


def test_bad_rows_change_nothing(history):
    for row in ({"loss": 1, "x": "a"}, {3: 1.0}, {"x": [1, 2]}, *({"x": x} for x in ("3", b"3", 3j, np.complex128(3)))):
        with pytest.raises(TypeError, match="column"):
            history.append(row)
    with pytest.raises(ValueError, match="empty"):
        history.append({})
    assert len(history) == len(history["loss"]) == 30
    assert "x" not in history


def test_unknown_column(history):
    with pytest.raises(KeyError, match=r"val_lost.*loss, accuracy, val_loss, lr"):
        history["val_lost"]
    with pytest.raises(KeyError, match="no column 0"):
        history[0]


rows = st.lists(st.dictionaries(st.sampled_from("abcd"), st.floats(allow_infinity=False), min_size=1), max_size=8)


@given(rows)
def test_dict_round_trip_through_strict_json(rows):
    h = History()
    for row in rows:
        h.append(row)
    back = History.from_dict(json.loads(json.dumps(h.to_dict(), allow_nan=False)))
    assert back == h
    assert len(back) == len(rows)


def test_equality(history):
    other = History.from_dict(history.to_dict())
    assert other == history
    other.append({"loss": math.nan})
    assert other != history
    assert history != 3


def test_from_dict_requires_equal_lengths():
    with pytest.raises(ValueError, match="same length"):
        History.from_dict({"a": [1.0], "b": [1.0, 2.0]})


def test_best(history):
    assert history.best("val_loss") == history.best("val_loss", mode="min") == 11
    assert history.best("accuracy") == history.best("accuracy", mode="max") == 30
    assert history.best("accuracy", mode="min") == 1
    with pytest.raises(ValueError, match="mode"):
        history.best("loss", mode="up")


def test_row(history):
    assert history.row(1) == {name: history[name][0] for name in history}
    assert history.row(history.best("val_loss"))["val_loss"] == np.nanmin(history["val_loss"])
    for epoch in (0, 31, -1):
        with pytest.raises(IndexError, match=f"no epoch {epoch}: epochs go from 1 to 30"):
            history.row(epoch)


def test_best_with_nan_and_ties():
    h = History.from_dict({"x": [None, 2.0, 1.0, 1.0, None], "y": [None] * 5})
    assert h.best("x", "min") == 3
    with pytest.raises(ValueError, match="'y' holds no number"):
        h.best("y", "min")


def test_repr_short():
    h = History.from_dict({"loss": [0.5, 0.25], "steps": [100, 200], "tiny": [1e-7, 1.0], "val_accuracy": [None, 0.5]})
    assert repr(h) == (
        "epoch    loss  steps       tiny  val_accuracy\n"
        "    1  0.5000    100  1.000e-07             -\n"
        "    2  0.2500    200  1.000e+00        0.5000"
    )
    assert repr(History()) == "History of 0 epochs"


def test_repr_long(history):
    lines = repr(history).splitlines()
    assert len(lines) == 13
    assert lines[6] == "..."
    assert lines[-1] == "[30 epochs]"
    assert len({len(line) for line in lines[:6] + lines[7:-1]}) == 1
    assert [int(lines[i].split()[0]) for i in (1, 5, 7, -2)] == [1, 5, 26, 30]


def test_repr_with_infinite_and_missing_values():
    assert "inf" in repr(History.from_dict({"x": [math.inf, None]}))


def test_plot_two_panels(history, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "history.png"
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = history.plot(path)
    assert path.read_bytes()[:4] == b"\x89PNG"
    losses, metrics = figure.axes
    assert [line.get_label() for line in losses.lines] == ["loss", "val_loss"]
    assert [line.get_label() for line in metrics.lines] == ["accuracy"]
    assert losses.lines[0].get_color() == losses.lines[1].get_color()
    np.testing.assert_array_equal(losses.lines[0].get_xdata(), np.arange(1, 31))
    for ax in figure.axes:
        renderer = FigureCanvasAgg(figure).get_renderer()
        assert not ax.get_legend().get_window_extent(renderer).overlaps(ax.patch.get_window_extent(renderer))


def test_plot_variants(history, tmp_path):
    figure_module = pytest.importorskip("matplotlib.figure")
    figure = figure_module.Figure()
    ax = figure.subplots()
    assert history.plot(ax=ax) is figure
    assert len(ax.lines) == 2
    pair = figure_module.Figure().subplots(1, 2)
    history.plot(ax=pair)
    assert [len(a.lines) for a in pair] == [2, 1]
    (only,) = history.plot(tmp_path / "a.svg", columns=["lr"]).axes
    assert only.get_ylabel() == "lr"
    steep = History.from_dict({"loss": [1.0, 1e-2, 1e-5], "val_loss": [None, 0.5, None]})
    (only,) = steep.plot(tmp_path / "b.pdf").axes
    assert only.get_yscale() == "log"
    np.testing.assert_array_equal(only.lines[1].get_xdata(), [2])
    for empty, columns in ((History(), None), (history, []), (History.from_dict({"loss": [None] * 3}), ["loss"])):
        with pytest.raises(ValueError, match="the history must have a number to draw, got none"):
            empty.plot(tmp_path / "c.png", columns=columns)
    (only,) = history.plot(tmp_path / "d.png", columns="loss").axes
    assert [line.get_label() for line in only.lines] == ["loss"]
    with pytest.raises(KeyError, match="nothing"):
        history.plot(tmp_path / "c.png", columns=["nothing"])


def test_plot_of_rates_and_norms(tmp_path):
    pytest.importorskip("matplotlib")
    history = History()
    for epoch in range(5):
        row = {"running_loss": 1.0, "lr": 10.0**-epoch, "beta2": 0.9, "grad_norm": 10.0**epoch, "clipped": 0.5}
        history.append(row)
    (losses,) = history.plot(tmp_path / "a.png").axes
    assert [line.get_label() for line in losses.lines] == ["running_loss"]
    for column in ("lr", "grad_norm"):
        (only,) = history.plot(tmp_path / "a.png", columns=[column]).axes
        assert only.get_yscale() == "log"
    (only,) = history.plot(tmp_path / "a.png", columns=["clipped"]).axes
    assert only.get_yscale() == "linear"


def test_plot_with_pyplot(history):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure = history.plot()
    assert plt.gcf() is figure
    plt.close(figure)


def test_plot_without_matplotlib(history, monkeypatch):
    real_import = builtins.__import__

    def no_matplotlib(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_matplotlib)
    with pytest.raises(ImportError, match=r"pip install matplotlib"):
        history.plot()


def test_amend_sets_columns_of_the_last_row() -> None:
    history = History()
    with pytest.raises(ValueError, match="no row to amend"):
        history.amend({"loss": 1.0})
    for loss in (3.0, 2.0):
        history.append({"loss": loss})
    history.amend({"loss": 1.5, "sharpness": 7})
    assert history["loss"].tolist() == [3.0, 1.5]
    assert np.isnan(history["sharpness"][0])
    assert history["sharpness"][1] == 7.0


def test_axes_that_are_none_are_refused():
    pytest.importorskip("matplotlib")
    history = History()
    history.append({"loss": 1.0})
    with pytest.raises(TypeError, match=r"^ax must be axes of matplotlib, got 3"):
        history.plot(ax=3)
