"""Sequential: a sequence of layers, with methods for inspection, curvature and files."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from os import PathLike
from typing import Any

from nncore._messages import shown
from nncore._utils.arrays import Array
from nncore._utils.checks import is_sparse
from nncore._utils.fields import count, flag, generator
from nncore._utils.files import Source, Target, named
from nncore._utils.tables import Table, html_table
from nncore.losses import Loss
from nncore.model import differences, files, foreign
from nncore.model.network import Network
from nncore.regularizers import Regularizer

__all__ = ["Sequential", "checked_model", "load"]


def checked_model(model: Any) -> Sequential:
    """The model, if it is one."""
    if not isinstance(model, Sequential):
        raise TypeError(f"model must be a Sequential, got {shown(model)}")
    return model


class Sequential(Network):
    """A sequence of layers, each applied to the output of the previous one.

    Parameters
    ----------
    layers : iterable of Layer
    input_shape : int or tuple of int
        Shape of one example.
    dtype : {"float32", "float64"}
        Type of the parameters and of all computation; default float32. Losses and metrics are summed in float64.
    compute_dtype : {"bfloat16"}, optional
        With ``"bfloat16"`` the operands of matrix products are rounded to 8 bits of precision (Kalamkar et al. 2019), and
        their sums, θ, gradients, the optimizer's state and all else stay float32: up to twice as fast on processors with
        AVX512-BF16, and slower on others (`show_config` says which this is), with the same bits. It holds for the products of
        `Dense`, `WeightNorm` and the layers with noise on weights, and in recurrent layers for those of the input and, in every
        step, of the state, where the weight has at least 64 rows and columns: smaller ones would not be faster. Curvature and
        `check_gradients` do not round. Default: ``dtype``. See :doc:`/guide/precision`.
    seed : int
        Seed of the initial weights and of random layers. The same seed gives the same bits.

    Attributes
    ----------
    parameters : ndarray
        θ, all trainable parameters: a writable 1-D array. A layer's ``weight`` and ``bias`` are views into it.
    gradients : ndarray
        ∂l/∂θ of the last backward pass, in the order of ``parameters``. While ``fit`` runs, gradients of large weights are
        updated only when control returns to Python, not in each step.
    state : ndarray
        Numbers that are stored but not trained, such as running statistics.
    layers : tuple of Layer
    input_scaler, target_scaler : Scaler or None
        Assign fitted scalers of ``nncore.data``; the model keeps copies. Then every X or y passed to the model or its trainer
        is scaled, and ``predict`` inverts the scaling of the targets: X, y and predictions are in the units of the data;
        outputs of ``forward``, losses and metrics are in scaled units. Scalers are saved with the model.

    Raises
    ------
    TypeError, ValueError
        If a layer is not a `Layer`, a name occurs twice, the dtype is not one of the two, or a shape has an axis that is not
        a positive integer.

    Examples
    --------
    >>> import numpy as np
    >>> import nncore as nn
    >>> model = nn.Sequential([nn.Dense(16), nn.Tanh(), nn.Dense(2)], input_shape=2, seed=0)
    >>> model.parameters.size
    82
    >>> model.predict(np.zeros((3, 2))).shape
    (3, 2)
    """

    def hessian_vector_product(
        self, X: Any, y: Any, loss: Loss | str | Callable[..., Any], v: Any, *, regularizer: Regularizer | None = None
    ) -> Array:
        """H v, H = ∂²l/∂θ² of the mean loss over the rows of X; exact, at about the cost of a gradient.

        `nncore.second_order.HessianOperator` is faster for many products at the same θ, and raises the same errors.

        Parameters
        ----------
        X, y, loss : as for ``loss_and_gradient``
        v : array_like, (n,) or (k, n)
            A vector, or several vectors as rows; the result has the same shape. n = ``parameters.size``.
        regularizer : Regularizer, optional

        Examples
        --------
        >>> import numpy as np
        >>> import nncore as nn
        >>> model = nn.Sequential([nn.Dense(1)], input_shape=2, dtype="float64")
        >>> model.hessian_vector_product(np.array([[1.0, 2.0]]), np.zeros(1), "squared_error", np.array([1.0, 1.0, 0.0]))
        array([3., 6., 3.])
        """
        from nncore.model.curvature.operators import HessianOperator

        return HessianOperator(self, X, y, loss, regularizer).products(v)

    def gauss_newton_product(
        self, X: Any, y: Any, loss: Loss | str | Callable[..., Any], v: Any, *, regularizer: Regularizer | None = None
    ) -> Array:
        """G v, G = Jᵀ (∂²l/∂y²) J: as ``hessian_vector_product``, without the curvature of the network itself."""
        from nncore.model.curvature.operators import GaussNewtonOperator

        return GaussNewtonOperator(self, X, y, loss, regularizer).products(v)

    def hessian(
        self, X: Any, y: Any, loss: Loss | str | Callable[..., Any], *, regularizer: Regularizer | None = None
    ) -> Array:
        """H = ∂²l/∂θ², (n, n) and symmetric. For small networks only: it needs n products and memory for n² numbers."""
        from nncore.model.curvature.operators import HessianOperator

        return HessianOperator(self, X, y, loss, regularizer).matrix()

    def jacobian(self, X: Any) -> Array:
        """J = ∂y/∂θ in training mode, (rows · outputs, n): row r · outputs + j belongs to output j of row r of X."""
        from nncore.model.curvature.operators import JacobianOperator

        return JacobianOperator(self, X).matrix()

    def jacobian_product(self, X: Any, v: Any, *, transposed: bool = False) -> Array:
        """J v for v (n,) or (k, n); with ``transposed`` Jᵀ v for v (rows · outputs,) or (k, rows · outputs)."""
        from nncore.model.curvature.operators import JacobianOperator

        J = JacobianOperator(self, X)
        return J.transposed_products(v) if flag("transposed", transposed) else J.products(v)

    def check_gradients(
        self, X: Any, y: Any, loss: Loss | str | Callable[..., Any], *, samples: int = 50, seed: int = 0, step: int = 0
    ) -> dict[str, float]:
        """Compare the gradient with central differences, array by array.

        The comparison uses float64, a copy of the model, and steps of h = 6e-6 (1 + |θ_i|), near the cube root of the
        machine epsilon. The differences are then accurate to about 1e-10 of the loss.

        Parameters
        ----------
        X, y, loss : as for ``loss_and_gradient``
        samples : int
            Number of elements compared per array, chosen at random, at least 1; smaller arrays are compared completely.
        seed : int
            Seed of that choice.
        step : int
            For random layers: the training step whose noise is used.

        At a kink (a ReLU whose input is 0 within h) there is no derivative to compare with: a warning names the first one in
        each array. Take inputs that avoid it.

        Returns
        -------
        dict
            Relative error ‖numeric − analytic‖ / (‖numeric‖ + ‖analytic‖) by ``"layer.array"``, and ``"input"`` for ∂l/∂X. It
            is 0 if the two differ by no more than the accuracy of the differences, for example for a bias before batch
            normalization or at an exact minimum. It is infinite if the analytic gradient is not finite although the loss is.

        Raises
        ------
        ValueError
            If the loss is not finite, here or in one of the differences.

        Examples
        --------
        >>> import numpy as np
        >>> import nncore as nn
        >>> model = nn.Sequential([nn.Dense(4), nn.Tanh(), nn.Dense(2)], input_shape=3)
        >>> errors = model.check_gradients(np.ones((5, 3)), np.ones((5, 2)), "squared_error")
        >>> max(errors.values()) < 1e-6
        True
        """
        samples = count("samples", samples)
        double = self.astype("float64")
        X = X.toarray() if is_sparse(X) else X
        rows = double.scaled_rows(X).copy()
        y, double.input_scaler, double.target_scaler = self.scaled_targets(y), None, None
        inputs = rows.reshape(len(rows), *self.input_shape)

        def value() -> float:
            return double.gradient_pass(inputs, y, loss)[0](step)

        here = value()
        if not math.isfinite(here):
            raise ValueError(f"the loss must be finite for its gradient to be checked, got {here} at the model's parameters")
        analytic, deltas = double.gradients.copy(), double.deltas(inputs, y, loss, step=step)
        arrays = {
            f"{layer.name}.{name}": (double.parameters[place], analytic[place])
            for layer in double.layers
            for name, parameter in layer.parameters.items()
            for place in [slice(parameter.offset, parameter.offset + parameter.size)]
        }
        arrays["input"] = rows.reshape(-1), deltas["input"].reshape(-1)
        rng = generator("seed", seed)
        return {
            name: differences.relative_error(name, value, here, values, gradient, rng.permutation(values.size)[:samples])
            for name, (values, gradient) in arrays.items()
        }

    def fold_batch_norm(self, X: Any = None) -> tuple[Sequential, float]:
        """Merge each `BatchNorm` into the `Dense` layer before it, with its running averages as constants.

        W' = s ⊙ W and b' = s ⊙ (b − μ) + β with s = γ / √(σ² + ε): the same function at inference, with fewer layers. Returns
        the new model, and the largest absolute difference between outputs of the two.

        Parameters
        ----------
        X : array_like, optional
            Inputs for comparing the outputs; by default 256 rows of standard normal numbers, which replace the scaled inputs if
            there is an ``input_scaler``.

        Raises
        ------
        ValueError
            If a batch normalization has no `Dense` directly before it, or there is none.

        Examples
        --------
        >>> import nncore as nn
        >>> model = nn.Sequential([nn.Dense(8), nn.BatchNorm(), nn.ReLU(), nn.Dense(2)], input_shape=3, dtype="float64")
        >>> folded, difference = model.fold_batch_norm()
        >>> len(folded.layers), difference < 1e-12
        (3, True)
        """
        from nncore.model import batch_statistics

        return batch_statistics.fold_batch_norm(self, X)

    def summary(self) -> Table:
        """The layers with their output shapes and numbers of parameters, as a table."""
        table = [("layer", "output", "parameters")]
        for layer in self.layers:
            count = sum(parameter.size for parameter in layer.parameters.values())
            table.append((f"{layer.name} ({type(layer).__name__})", str(layer.output_shape), f"{count:,}"))
        table.append(("total", "", f"{self.parameters.size:,}"))
        widths = [max(len(row[column]) for row in table) for column in range(3)]
        lines = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}" for a, b, c in table]
        rule = "-" * len(lines[0])
        products = "" if self.compute_dtype == self.dtype else f", products in {self.compute_dtype}"
        head = f"Sequential, input {self.input_shape}, {self.dtype}{products}"
        summary = Table("\n".join([head, rule, lines[0], rule, *lines[1:-1], rule, lines[-1]]))
        summary.html = html_table(table, [head], text_columns=2)
        return summary

    def save(self, path: Target) -> None:
        """Write structure and parameters to one safetensors file, or to a binary file object.

        A file at a path is written atomically. See `Trainer.save`.
        """
        files.save_model(self, path)

    def export(self, path: str | bytes | PathLike[str]) -> None:
        """Write what ``predict`` computes to a file that needs no nncore; the suffix of ``path`` chooses the format.

        ========== ====================================================================================================
        ``.onnx``  a graph for ONNX Runtime and others, with any number of examples
        ``.h``     a C header, also C++: ``void NAME_predict(const float *x, float *y)`` for one example, with a self-test
        ``.py``    a Python module with ``predict(X)``, which needs NumPy only
        ``.js``    a JavaScript module with ``predict(x)`` for one example, arrays of numbers in and out
        ========== ====================================================================================================

        Scalers are part of it. Results agree with ``predict`` up to rounding. The file is written atomically.

        Raises
        ------
        TypeError
            For a layer or a scaler that is not nncore's own: only their Python code knows what they compute.
        ValueError
            For another suffix, parameters that are not finite, a batch normalization that takes the statistics of the rows
            predicted together, and recurrent layers that carry states over.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> import nncore as nn
        >>> model = nn.Sequential([nn.Dense(4), nn.Tanh(), nn.Dense(1)], input_shape=2, seed=1)
        >>> path = pathlib.Path(tempfile.mkdtemp(), "xor.py")
        >>> model.export(path)
        >>> print(path.read_text().partition("def ")[2])
        predict(X):
            \"\"\"The outputs (n, 1) for the rows of X (n, 2).\"\"\"
            h = np.asarray(X, dtype=np.float32).reshape(len(X), 2)
            h = h @ W1.T + b1
            h = np.tanh(h)
            h = h @ W3.T + b3
            return h
        <BLANKLINE>
        """
        from nncore.export import export

        export(self, path)

    def __repr__(self) -> str:
        compute = "" if self.compute_dtype == self.dtype else f"compute_dtype={self.compute_dtype!r}, "
        options = f"input_shape={self.input_shape}, dtype={str(self.dtype)!r}, {compute}seed={self.seed}"
        return f"Sequential({list(self.layers)!r}, {options})"


def load(
    path: Source | Mapping[str, Any], *, into: Sequential | None = None, custom_layers: Mapping[str, files.Custom] | None = None
) -> Sequential:  # fmt: skip
    """Read a model that ``Sequential.save`` or ``Trainer.save`` wrote; or weights of PyTorch or Keras into a model.

    Without ``into`` the result is the model of a file of nncore, or of a Keras 3 archive ``.keras``, activations included. With
    ``into``, a model of the same structure, it is this model, filled with the weights of

    ======================== ============================================================================================
    PyTorch                  a ``state_dict``, or its file by ``safetensors.torch.save_file(net.state_dict(), path)``
    Keras 3                  a file by ``net.save_weights("….weights.h5")`` or ``net.save("….keras")``
    either                   a mapping of names to arrays, or its file by ``numpy.savez(path, **arrays)``, with names such as
                             ``0.weight`` or ``dense/kernel``
    ======================== ============================================================================================

    Transposes and the order of gates are taken care of, numbers are converted to the model's dtype. A file of weights does not
    tell activations, nor ε and momentum of normalizations, whose defaults differ (Keras: ε = 1e-3): the model has to have them.
    A mapping and an ``npz`` file are in order; other files sort their arrays, and layers are matched by the numbers in their
    names, or, where these do not tell, by shapes: see :doc:`/guide/saving`.

    Parameters
    ----------
    path : str, path, binary file object or mapping
        A file object is read from its current position to the end. A path must refer to a regular file. A mapping of names to
        arrays or CPU tensors needs ``into``.
    into : Sequential, optional
        Either all of its parameters and running statistics are replaced, or, if anything is wrong, none.
    custom_layers : mapping, optional
        For nncore's own files: user-defined classes by class name, of layers, and of the initializers and schedules that layers
        hold. Each object is constructed from the result of its ``config()``. A user-defined class is never replaced by one of
        nncore's, even if it has the same name or is derived from it.

    Raises
    ------
    ValueError
        If the file is damaged, holds numbers that are not finite, or names an unknown class; if weights have other shapes than
        the model's, if one is missing or left over, or if their order cannot be told; for a Keras model with a layer or an
        argument that nncore has not.
    ImportError
        For Keras, without h5py: ``pip install "nncore-learn[keras]"``.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> import nncore as nn
    >>> path = os.path.join(tempfile.mkdtemp(), "xor.safetensors")
    >>> nn.Sequential([nn.Dense(4), nn.Tanh(), nn.Dense(1)], input_shape=2, seed=1).save(path)
    >>> nn.load(path).parameters.size
    17

    Weights by PyTorch's names:

    >>> model = nn.Sequential([nn.Dense(1)], input_shape=2)
    >>> nn.load({"0.weight": np.array([[1, 2]]), "0.bias": np.array([3])}, into=model).predict([[10.0, 20.0]])
    array([[53.]], dtype=float32)
    """
    if into is None:
        if isinstance(path, Mapping):
            raise TypeError("path must be a file unless there is a model to fill: nn.load(mapping, into=model)")
        if named(path).endswith(".keras"):
            return foreign.load_keras(path, Sequential)
        return files.load_model(path, custom_layers, Sequential)
    if not isinstance(into, Sequential):
        raise TypeError(f"into must be a Sequential, got {shown(into)}")
    if custom_layers is not None:
        raise TypeError("custom_layers must be left out with into, whose layers are there")
    foreign.load_weights(into, path, "the mapping" if isinstance(path, Mapping) else named(path))
    return into
