"""Random models: every promise about a model that can be checked without knowing the model.

The outputs are those of the NumPy twins; the gradient is that of the loss, by central differences; the products with the
Hessian are differences of gradients, symmetric, and those with the Gauss-Newton matrix nonnegative; a training ends with finite
numbers or is refused before it begins; files give back the same bits; a batch is predicted as its parts.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

import nncore as nn
from attack import twin
from attack.bits import assert_same, bits_of, trained
from attack.random_models import Setup, draw
from nncore.layers import NOISE, WEIGHT_NOISE

__all__ = ["case"]

Array = NDArray[Any]

EPOCHS = 2
FEW_ROWS = 8  # in whose predictions a wide layer may sum in another order (docs/design/determinism.rst)
NARROW = 256
RANDOM = (*NOISE.values(), *WEIGHT_NOISE.values(), nn.BatchRenorm)
EPS = 1e-5
DIFFERENCES, STEEP = 1e-5, 1e-3  # relative errors of central differences: the usual one, and that of steep functions


def case(rng: np.random.Generator) -> str:
    """All checks of one random configuration."""
    seed = int(rng.integers(2**62))
    with tempfile.TemporaryDirectory() as folder:
        setup = draw(seed, folder=folder)
        outcome = trained(setup.trainer, setup.X, setup.y, epochs=EPOCHS, callbacks=setup.callbacks, **setup.fit)
        check_twin(setup)
        check_parts(setup, rng)
        check_files(setup, seed, Path(folder))
    double = draw(seed, dtype="float64")
    checked = [check(double, rng) for check in (check_gradient, check_curvature)]
    return ", ".join([outcome, *filter(None, checked)])


def check_twin(setup: Setup) -> None:
    """At inference, without scalers: the error is at most some times that of NumPy in the same precision."""
    model = setup.trainer.model.copy()
    model.input_scaler = model.target_scaler = None
    if any(not getattr(layer, "track_running_stats", True) for layer in model.layers):
        return  # a row depends on the others
    if model.compute_dtype == "bfloat16":
        return  # the twins of its products are in the tests of its kernels
    X = _dense(setup.X)
    got = model.forward(X)
    with np.errstate(all="ignore"):
        exact, rounded = (twin.forward(model, X, dtype).astype(np.float64) for dtype in ("float64", str(model.dtype)))
    if not np.isfinite(rounded).all():  # too large for the dtype, in nncore or in NumPy first
        return
    eps, scale = float(np.finfo(model.dtype).eps), np.abs(exact).max()
    allowed = 100 * np.abs(exact - rounded).max() + 1000 * eps * scale
    error = np.abs(got - exact).max()
    assert error <= allowed, f"forward is {error:.3g} from its twin, of {scale:.3g}; {allowed:.3g} is allowed in {model!r}"


def check_parts(setup: Setup, rng: np.random.Generator) -> None:
    """Predictions of parts of the rows are those of all, to the bit, where that is promised."""
    model, rows = setup.trainer.model, setup.X.shape[0]
    if any(not getattr(layer, "track_running_stats", True) for layer in model.layers):
        return
    if any(isinstance(scaler, nn.data.Decorrelate) for scaler in (model.input_scaler, model.target_scaler)):
        return  # whose product is that of a BLAS
    widths = [int(np.prod(layer.input_shape)) for layer in model.layers]
    least = 1 if max(widths) < NARROW else FEW_ROWS + 1
    if rows <= least:
        return
    cut = int(rng.integers(least, rows + 1))
    cut = cut if rows - cut >= least else rows
    parts = [model.predict(setup.X[part]) for part in (slice(0, cut), slice(cut, rows)) if part.start < rows]
    assert np.array_equal(np.concatenate(parts), model.predict(setup.X), equal_nan=True), f"predict in parts of {cut} rows"


def check_files(setup: Setup, seed: int, folder: Path) -> None:
    """A model is loaded, and a trainer restored, with the same bits."""
    setup.trainer.model.save(folder / "model")
    loaded = nn.load(folder / "model")
    assert loaded.predict(setup.X).tobytes() == setup.trainer.model.predict(setup.X).tobytes(), "predictions of a loaded model"
    assert repr(loaded) == repr(setup.trainer.model)
    setup.trainer.save(folder / "trainer")
    other = draw(seed, folder=str(folder)).trainer
    other.restore(folder / "trainer")
    assert_same(bits_of(setup.trainer, setup.X), bits_of(other, setup.X), "a restored trainer")


def check_gradient(setup: Setup, rng: np.random.Generator) -> str:
    """By central differences, in float64, under the noise of a training step."""
    trainer, X, y = setup.trainer, setup.X, setup.y
    if any(isinstance(layer, nn.BatchRenorm) for layer in trainer.model.layers):
        return ""  # whose r and d count as constants: the gradient is not that of the loss
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        step = int(rng.integers(9))
        try:
            errors = trainer.model.check_gradients(X, y, trainer.loss, samples=8, step=step)
        except ValueError as error:
            return f"no gradient: {' '.join(str(error).split()[:3])}"
    if caught:
        return "kink"
    worst = max(errors, key=lambda name: errors[name])
    if errors[worst] >= STEEP and _settles(setup, step, rng):
        return "steep"
    assert errors[worst] < STEEP, f"gradient of {worst} is {errors[worst]:.3g} off in {trainer.model!r}, {trainer.loss!r}"
    return "" if errors[worst] < DIFFERENCES else "steep"


def _settles(setup: Setup, step: int, rng: np.random.Generator) -> bool:
    """Whether differences come to the gradient as their step becomes smaller: the loss is steep, and the gradient right."""
    model, X, y, loss = setup.trainer.model, setup.X, setup.y, setup.trainer.loss
    theta, v = model.parameters.copy(), rng.standard_normal(model.parameters.size)
    slope = (model.loss_and_gradient(X, y, loss, step=step)[1] * v).sum()
    errors = []
    for h in (1e-5, 1e-6, 1e-7, 1e-8):
        values = []
        for sign in (1, -1):
            model.parameters[...] = theta + sign * h * v
            values.append(model.loss_and_gradient(X, y, loss, step=step)[0])
        errors.append(abs((values[0] - values[1]) / (2 * h) - slope) / abs(slope))
    model.parameters[...] = theta
    return min(errors) < 1e-5 and min(errors) < errors[0] / 10


def check_curvature(setup: Setup, rng: np.random.Generator) -> str:
    """Hv by central differences of the gradient, uᵀHv = vᵀHu, and vᵀGv ≥ 0."""
    trainer, X, y, model = setup.trainer, setup.X, setup.y, setup.trainer.model
    u, v = rng.standard_normal((2, model.parameters.size))
    try:
        Hu, Hv = (model.hessian_vector_product(X, y, trainer.loss, vector) for vector in (u, v))
    except TypeError:
        inner = [getattr(layer, "layer", layer) for layer in model.layers]  # of Bidirectional
        random = [isinstance(layer, RANDOM) or getattr(layer, "zoneout", 0) > 0 for layer in inner]
        assert any(random), f"no product with the Hessian of {model!r}"
        return "no Hessian of a random model"
    except ValueError:  # the loss is not finite
        return "no Hessian"
    theta = model.parameters.copy()

    def gradient(step: float) -> Array:
        model.parameters[...] = theta + step * v
        result = np.array(model.loss_and_gradient(X, y, trainer.loss)[1])
        model.parameters[...] = theta
        return result

    here, after, before, far = gradient(0), gradient(EPS), gradient(-EPS), (gradient(2 * EPS) - gradient(-2 * EPS)) / (4 * EPS)
    scale = np.abs(Hv).max() + 1e-10 * np.abs(here).max() / EPS
    rounding = 1e-10 * np.abs(u).sum() * (np.abs(Hv).max() + np.abs(Hu).max()) + 1e-13 * np.abs(u).sum() * np.abs(v).sum()
    assert abs(u @ Hv - v @ Hu) <= rounding, "Hessian is not symmetric"
    near = (after - before) / (2 * EPS)
    if max(np.abs(after + before - 2 * here).max() / EPS, np.abs(near - far).max()) > 1e-3 * scale:
        return "kink of the gradient"
    error = np.abs(Hv - near).max()
    assert error <= 1e-4 * scale + 1e-8, f"Hv is {error:.3g} off, of {scale:.3g}, in {model!r}, {trainer.loss!r}"
    try:
        Gv = model.gauss_newton_product(X, y, trainer.loss, v)
    except (ValueError, TypeError) as error:
        return f"no Gauss-Newton: {type(error).__name__}"
    assert v @ Gv >= -1e-12 * np.abs(v) @ np.abs(Gv), f"vᵀGv = {v @ Gv:.3g}"
    return ""


def _dense(X: Any) -> Array:
    return np.asarray(X.toarray() if scipy.sparse.issparse(X) else X)
