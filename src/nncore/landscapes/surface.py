"""The loss of a network on a plane through its parameters: a landscape of two of many thousand dimensions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from nncore._kernels.blas import one_blas_thread
from nncore._messages import shown
from nncore._utils.checks import as_floats, check_finite
from nncore._utils.fields import count, generator, number
from nncore._utils.figures import Axes, Figure, SavePath, checked_bounds, finish, one_axes
from nncore.landscapes.functions import Array

if TYPE_CHECKING:
    from nncore.model.sequential import Sequential

__all__ = ["LossSurface", "filter_normalized_directions", "loss_surface", "principal_directions"]


def filter_normalized_directions(model: Sequential, seed: int = 0) -> Array:
    """Two random directions (2, n) in which every unit's weights change in proportion to their size (Li et al. 2018).

    Each is normally distributed; then the weights of each unit get the norm that they have in the model, and biases get 0. So
    that plots of different networks can be compared: multiplying the weights of a ReLU layer by 10 and dividing those of
    the next by 10 changes neither the network nor the plot.

    Examples
    --------
    >>> import nncore as nn
    >>> model = nn.Sequential([nn.Dense(4), nn.ReLU(), nn.Dense(2)], input_shape=3)
    >>> directions = filter_normalized_directions(model)
    >>> directions.shape
    (2, 26)
    """
    from nncore.model.sequential import checked_model

    checked_model(model)
    rng = generator("seed", seed)
    directions = np.zeros((2, model.parameters.size))
    for layer in model.layers:
        for name, parameter in layer.parameters.items():
            weight = np.asarray(getattr(layer, name), np.float64)
            if weight.ndim < 2:
                continue
            units = weight.reshape(len(weight), -1)
            noise = rng.normal(size=(2, *units.shape))
            noise *= np.linalg.norm(units, axis=1, keepdims=True) / np.linalg.norm(noise, axis=2, keepdims=True)
            for direction, own in zip(directions, noise, strict=True):
                parameter.of(direction)[...] = own.reshape(weight.shape)
    return directions


def principal_directions(trajectory: ArrayLike) -> tuple[Array, Array]:
    """The plane that contains most of a trajectory: principal components of θ_t − θ_T, T the last (Lorch 2016; Li et al. 2018).

    Parameters
    ----------
    trajectory : (steps, n), at least 3 points

    Returns
    -------
    directions : ndarray (2, n), orthonormal
    explained : ndarray (2,)
        The fraction of the squared distances from the end along each direction.

    Examples
    --------
    >>> directions, explained = principal_directions([[0.0, 3.0, 0.0], [0.0, 2.0, 1.0], [0.0, 0.0, 0.0]])
    >>> float(explained.sum().round(6)), directions[:, 0].tolist()
    (1.0, [0.0, 0.0])
    """
    points = as_floats(trajectory, "trajectory")
    if points.ndim != 2 or len(points) < 3 or points.shape[1] < 2:
        raise ValueError(f"trajectory must have at least 3 points of at least 2 numbers, got shape {points.shape}")
    if not np.isfinite(points).all():
        raise ValueError("trajectory must hold finite numbers")
    with one_blas_thread():
        _, sizes, directions = np.linalg.svd(points - points[-1], full_matrices=False)
    if sizes[1] <= 1e-12 * sizes[0] or not sizes[0] > 0:
        raise ValueError("trajectory must have points that span a plane, got points on a line")
    return directions[:2], sizes[:2] ** 2 / (sizes**2).sum()


@dataclass(frozen=True)
class LossSurface:
    """Losses at origin + a·directions[0] + b·directions[1].

    Attributes
    ----------
    a, b : ndarray (points,)
    loss : ndarray (points, points)
        ``loss[i, j]`` at a[j], b[i], the penalty included where `loss_surface` had a regularizer.
    origin : ndarray (n,)
    directions : ndarray (2, n)
    """

    a: Array
    b: Array
    loss: Array
    origin: Array
    directions: Array

    @one_blas_thread()
    def project(self, trajectory: ArrayLike) -> Array:
        """The coordinates (steps, 2) of the points of the plane that are nearest to those of a trajectory (steps, n)."""
        points = as_floats(trajectory, "trajectory")
        if points.ndim != 2 or points.shape[1] != self.origin.size:
            raise ValueError(f"trajectory must have shape (steps, {self.origin.size}), got {points.shape}")
        away = points - self.origin
        return np.asarray(np.linalg.lstsq(self.directions.T, away.T, rcond=None)[0].T)

    def plot(
        self, path: SavePath = None, ax: Axes | None = None, trajectory: ArrayLike | None = None, title: str | None = None,
        labels: tuple[str, str] = ("first direction", "second direction"), limits: tuple[float, float] | None = None,
        colorbar: bool = True,
    ) -> Figure:  # fmt: skip
        """Draw contours, evenly spaced in log(loss), and the projection of a trajectory, its end a star.

        Parameters
        ----------
        path, ax : as in `plot_trajectories`
        trajectory : (steps, n), optional
        title, labels : of the plot, of the axes
        limits : (lowest, highest) loss of the color scale, optional
            Default: those of this surface. With the same limits, a color means the same loss in several plots;
            losses beyond them get the color of the nearer one.
        colorbar : default True
        """
        figure, ax = one_axes("LossSurface.plot", path, ax, (6.4, 4.8))
        finite = self.loss[np.isfinite(self.loss) & (self.loss > 0)]
        if not finite.size:
            raise ValueError("loss must hold positive finite losses to draw, got none")
        if limits is not None and not 0 < limits[0] < limits[1] < np.inf:
            raise ValueError(f"limits must be 0 < lowest < highest, got {shown(limits)}")
        low, high = np.log10(limits or (finite.min(), finite.max()))
        levels = np.linspace(low, max(high, low + 1e-6), 24)
        with np.errstate(divide="ignore", invalid="ignore"):
            heights = np.clip(np.log10(self.loss), levels[0], levels[-1])
        shades = ax.contourf(self.a, self.b, heights, levels=levels, cmap="viridis")
        ax.contour(shades, colors="white", linewidths=0.3, alpha=0.6)
        if colorbar:
            figure.colorbar(shades, ax=ax, label="loss", format=lambda power, _: f"{10**power:.2g}")
        if trajectory is not None:
            x, y = self.project(trajectory).T
            ax.plot(x, y, color="white", linewidth=3)
            ax.plot(x, y, color="#D55E00", linewidth=1.5, marker="o", markersize=3)
        ax.plot(0, 0, marker="*", markersize=14, color="white", markeredgecolor="black", linestyle="none")
        ax.locator_params(nbins=6)
        ax.set(xlabel=labels[0], ylabel=labels[1], title=title or "", xlim=self.a[[0, -1]], ylim=self.b[[0, -1]])
        return finish(figure, path)


def loss_surface(
    model: Sequential, X: Any, y: Any, loss: str | Callable[..., Any], directions: ArrayLike | None = None, *,
    regularizer: Any = None, extent: float | ArrayLike = 1.0, points: int = 41, seed: int = 0,
) -> LossSurface:  # fmt: skip
    """The loss on a grid in a plane through the parameters of a network, computed on a copy of it.

    To see what was minimized, give the regularizer of the training too: the minimum of the loss alone lies elsewhere.

    Parameters
    ----------
    model : nncore.Sequential
    X, y, loss, regularizer : as for `Trainer`
    directions : (2, n), default two of `filter_normalized_directions`
    extent : number or ((lowest a, highest a), (lowest b, highest b)), default from −1 to 1
    points : on each axis, default 41
    seed : of the default directions

    Examples
    --------
    >>> import numpy as np
    >>> import nncore as nn
    >>> model = nn.Sequential([nn.Dense(4), nn.Tanh(), nn.Dense(1)], input_shape=2)
    >>> surface = loss_surface(model, np.eye(2), np.ones(2), "squared_error", points=5)
    >>> surface.loss.shape
    (5, 5)
    >>> penalized = loss_surface(model, np.eye(2), np.ones(2), "squared_error", regularizer=nn.L2(0.1), points=5)
    >>> bool(np.isclose(penalized.loss[2, 2], surface.loss[2, 2] + nn.L2(0.1).value(model)))   # in the middle is the model
    True
    """
    from nncore.model.sequential import checked_model
    from nncore.training.trainer import Trainer

    checked_model(model)
    plane = filter_normalized_directions(model, seed) if directions is None else as_floats(directions, "directions")
    if plane.shape != (2, model.parameters.size):
        raise ValueError(f"directions must have shape (2, {model.parameters.size}), got {plane.shape}")
    check_finite(plane, "directions")
    if as_floats(extent, "extent").ndim == 0:
        extent = np.outer([number("extent", extent, above=0.0)] * 2, [-1.0, 1.0])
    limits = checked_bounds("extent", extent)
    if np.abs(limits).max() > np.finfo(np.float64).max / 4:
        raise ValueError(f"extent must be so small that its width is finite, got {shown(extent)}")
    a, b = np.linspace(limits[:, 0], limits[:, 1], count("points", points, 2)).T
    copy, origin = model.copy(), model.parameters.astype(np.float64)
    trainer = Trainer(copy, loss, regularizer=regularizer)
    values = np.empty((b.size, a.size))
    for i, j in np.ndindex(values.shape):
        copy.parameters[...] = origin + a[j] * plane[0] + b[i] * plane[1]
        with copy._measuring():
            values[i, j] = trainer.evaluate(X, y)["loss"]
    return LossSurface(a, b, values, origin, plane)
