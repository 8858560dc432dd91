"""The loss on a plane through a network's parameters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import nncore as nn
from nncore.landscapes import filter_normalized_directions, loss_surface, principal_directions


def network() -> nn.Sequential:
    model = nn.Sequential([nn.Dense(5), nn.ReLU(), nn.Dense(3)], input_shape=4, dtype="float64", seed=3)
    model.parameters += 0.01
    return model


DATA = (np.random.default_rng(0).normal(size=(30, 4)), np.arange(30) % 3)


def test_directions_have_the_norm_of_each_unit() -> None:
    model = network()
    directions = filter_normalized_directions(model, seed=1)
    for direction in directions:
        other = model.copy()
        other.parameters[...] = direction
        for layer, drawn in zip(model.layers, other.layers, strict=True):
            if layer.parameters:
                assert np.allclose(np.linalg.norm(drawn.weight, axis=1), np.linalg.norm(layer.weight, axis=1), rtol=1e-12)
                assert not drawn.bias.any()
    assert abs(np.corrcoef(*directions)[0, 1]) < 0.5
    assert not np.array_equal(directions, filter_normalized_directions(model, seed=2))


def test_rescaled_relu_network_has_the_same_surface() -> None:
    model, scaled = network(), network()
    scaled.layers[0].weight *= 7
    scaled.layers[0].bias *= 7
    scaled.layers[2].weight /= 7
    surfaces = [loss_surface(m, *DATA, "softmax_cross_entropy", points=5).loss for m in (model, scaled)]
    assert np.allclose(*surfaces, rtol=1e-12)


def test_surface_is_the_loss() -> None:
    model = network()
    before = model.parameters.copy()
    surface = loss_surface(model, *DATA, "softmax_cross_entropy", extent=((-1, 2), (-0.5, 0.5)), points=7)
    assert np.array_equal(model.parameters, before)
    assert surface.a[[0, -1]].tolist() == [-1, 2]
    assert surface.b[[0, -1]].tolist() == [-0.5, 0.5]
    for i, j in ((0, 0), (3, 2), (6, 5)):
        model.parameters[...] = before + surface.a[j] * surface.directions[0] + surface.b[i] * surface.directions[1]
        wanted = nn.Trainer(model, "softmax_cross_entropy").evaluate(*DATA)["loss"]
        assert surface.loss[i, j] == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("regularizer", [nn.L2(0.3), nn.L1(0.2), {"dense_1": nn.L2(0.5)}])
def test_surface_with_a_regularizer_is_loss_plus_penalty(regularizer: object) -> None:
    model = network()
    surface = loss_surface(model, *DATA, "softmax_cross_entropy", regularizer=regularizer, points=5)
    plain = loss_surface(model, *DATA, "softmax_cross_entropy", points=5)
    before = model.parameters.copy()
    for i, j in np.ndindex(5, 5):
        model.parameters[...] = before + plain.a[j] * plain.directions[0] + plain.b[i] * plain.directions[1]
        first, last = model.layers[0].weight, model.layers[2].weight
        penalty = {
            nn.L2: lambda w, v: 0.15 * ((w**2).sum() + (v**2).sum()),
            nn.L1: lambda w, v: 0.2 * (abs(w).sum() + abs(v).sum()),
            dict: lambda w, v: 0.25 * (w**2).sum(),
        }[type(regularizer)](first, last)
        assert surface.loss[i, j] == pytest.approx(plain.loss[i, j] + penalty, rel=1e-12)


def test_the_minimum_of_what_was_minimized_is_where_training_ends() -> None:
    """Of the loss alone it is not: training would seem to miss the minimum."""
    model = network()
    trainer = nn.Trainer(model, "softmax_cross_entropy", nn.second_order.LBFGS(), regularizer=nn.L2(0.05))
    start = model.parameters.copy()
    trainer.fit(*DATA, epochs=300, verbose=0)
    directions = np.stack((model.parameters - start, filter_normalized_directions(model)[0]))
    penalized, plain = (
        loss_surface(model, *DATA, "softmax_cross_entropy", directions, regularizer=penalty, extent=0.5, points=11)
        for penalty in (nn.L2(0.05), None)
    )
    assert np.unravel_index(penalized.loss.argmin(), (11, 11)) == (5, 5)
    assert np.unravel_index(plain.loss.argmin(), (11, 11)) != (5, 5)


def test_plots_with_the_same_limits_have_the_same_colors(tmp_path: Path) -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    surfaces = [loss_surface(network(), *DATA, "softmax_cross_entropy", extent=extent, points=5) for extent in (0.1, 3.0)]
    figure, axes = pyplot.subplots(1, 2)
    for ax, surface, colorbar in zip(axes, surfaces, (True, False), strict=True):
        surface.plot(ax=ax, limits=(0.1, 10.0), colorbar=colorbar)
    filled = [ax.collections[0] for ax in axes]
    assert filled[0].get_clim() == filled[1].get_clim()
    np.testing.assert_allclose(filled[0].levels[[0, -1]], [-1, 1])
    assert len(figure.axes) == 3  # one color bar
    for limits in ((1.0, 1.0), (0.0, 1.0), (2.0, 1.0)):
        with pytest.raises(ValueError, match="limits must be 0 < lowest < highest"):
            surfaces[0].plot(tmp_path / "none.png", limits=limits)
    pyplot.close("all")


def test_principal_plane_of_a_trajectory(rng: np.random.Generator) -> None:
    plane, coordinates = np.linalg.qr(rng.normal(size=(17, 2)))[0].T, rng.normal(size=(20, 2)) * [5, 1]
    walk = 3.0 + coordinates @ plane + 1e-3 * rng.normal(size=(20, 17))
    directions, explained = principal_directions(walk)
    assert np.allclose(directions @ directions.T, np.eye(2), atol=1e-12)
    assert np.linalg.svd(directions @ plane.T)[1].min() > 0.999
    assert 0.999 < explained.sum() < 1
    assert explained[0] > explained[1]


def test_projection_and_plot(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    model = network()
    walk = []
    keep = nn.LambdaCallback(on_epoch_end=lambda trainer, epoch, row: walk.append(model.parameters.copy()))
    nn.Trainer(model, "softmax_cross_entropy", nn.SGD(lr=0.1)).fit(*DATA, epochs=10, callbacks=[keep], verbose=0)
    directions, _ = principal_directions(walk)
    surface = loss_surface(model, *DATA, "softmax_cross_entropy", directions, extent=1.0, points=5)
    ways = surface.project(walk)
    assert np.allclose(ways[-1], 0, atol=1e-12)
    assert np.allclose(ways, (np.array(walk) - walk[-1]) @ directions.T, atol=1e-12)
    surface.plot(tmp_path / "surface.png", trajectory=walk)
    assert (tmp_path / "surface.png").stat().st_size > 10_000


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"directions must have shape \(2, 43\), got \(2, 4\)"):
        loss_surface(network(), *DATA, "softmax_cross_entropy", np.ones((2, 4)))
    with pytest.raises(ValueError, match="directions must be finite, got nan in row 0, column 0"):
        loss_surface(network(), *DATA, "softmax_cross_entropy", np.full((2, 43), np.nan))
    with pytest.raises(TypeError, match="directions must hold real numbers"):
        loss_surface(network(), *DATA, "softmax_cross_entropy", np.ones((2, 43)) + 1j)
    for masked in (np.ma.masked_array(np.eye(4), np.eye(4)), np.ma.masked_array(np.ones((2, 43)), np.ones((2, 43)))):
        with pytest.raises(ValueError, match="must have no masked cells"):
            principal_directions(masked)
        with pytest.raises(ValueError, match="must have no masked cells"):
            loss_surface(network(), *DATA, "softmax_cross_entropy", masked)
    with pytest.raises(ValueError, match=r"trajectory must have shape \(steps, 43\), got \(1, 2\)"):
        loss_surface(network(), *DATA, "softmax_cross_entropy", points=2).project([[1.0, 2.0]])
    for extent in (-1.0, np.inf, ((1, 0), (0, 1)), ((0, np.inf), (0, 1)), (1, 2, 3)):
        with pytest.raises(ValueError, match="extent"):
            loss_surface(network(), *DATA, "softmax_cross_entropy", extent=extent)
    with pytest.raises(ValueError, match="at least 3 points"):
        principal_directions(np.ones((2, 5)))
    with pytest.raises(ValueError, match="points on a line"):
        principal_directions(np.outer(np.arange(5), np.ones(4)))
