"""Right arguments by their names, what is left out of the attacks on calls, and the methods that users call."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

import nncore as nn
from attack.trainings import NUMBERS, X, data_of, network
from nncore import second_order

BASES = [
    "Activation", "Constraint", "FullBatchOptimizer", "GeometricTransform", "GradientOptimizer", "Initializer", "Landscape",
    "Layer", "Loss", "Optimizer", "Regularizer", "Sampler", "Scaler", "Schedule", "Subsets", "Transform",
]  # fmt: skip
LEFT_OUT = {
    "reference": "formulas in NumPy, which check nothing", "playground": "opens a server", "MPI": "needs several processes",
    "animate": "draws for seconds", "plot_rates": "draws for seconds", "plot_regimes": "draws for seconds",
    "fair_comparison": "trains for seconds", "compare": "trains for seconds",
    "load_digits": "reads a file of 1797 images each time", "make_documents": "draws thousands of words",
    "set_num_threads": "changes the process; tests/test_threads.py", "Member": "made by an EnsembleTrainer",
    "Run": "made by a sweep", "Targets": "made by a loss", "Examples": "made by a trainer", "Profile": "made by a Trainer",
    "LearningRates": "made by a Trainer", "Curvature": "made by curvature", "Recording": "made by record",
    "LossSurface": "made by loss_surface", "Search": "made by search_lr", "Comparison": "made by compare",
    "Optimum": "made by optimal", "FairComparison": "made by fair_comparison", "PathWithHistory": "made by minimize",
    "Objective": "a protocol", "DivergenceError": "an exception", "SingularError": "an exception",
    **dict.fromkeys(BASES, "a base class, for subclasses"),
}  # fmt: skip
LONG = {
    "n", "epochs", "steps", "points", "budget", "starts", "samples", "probes", "members", "patience", "frames", "k", "threads",
    "exact_up_to", "seeds", "runs", "folds", "memory", "units", "groups", "words", "size", "shape", "input_shape", "skip",
    "examples",
}  # fmt: skip
"""Arguments of which a large number is right, and takes long or all of the memory."""

VALID: dict[str, Callable[[], Any]] = {  # by the name of the argument; what has a default needs no entry
    "X": X.copy, "x": X.copy, "y": NUMBERS.copy, "y_true": NUMBERS.copy,
    "model": lambda: network(nn.Dense(3), nn.Tanh(), nn.Dense(2)), "loss": lambda: "squared_error", "optimizer": nn.Adam,
    "path": lambda: "file", "units": lambda: 3, "rate": lambda: 0.5, "stddev": lambda: 0.5, "sigma": lambda: 0.5,
    "strength": lambda: 0.1, "limit": lambda: 1.0, "groups": lambda: 3, "columns": lambda: [0, 2], "layer": lambda: nn.Dense(3),
    "layers": lambda: [nn.Dense(3), nn.Tanh(), nn.Dense(2)], "input_shape": lambda: 3, "l1": lambda: 0.1, "l2": lambda: 0.2,
    "penalties": lambda: {"dense_1": nn.L2(0.1)}, "minimum": lambda: 0.1, "maximum": lambda: 2.0,
    "values": lambda: [0.1, 0.2, 0.3], "every": lambda: 2, "function": lambda: squares, "boundaries": lambda: [2, 3],
    "levels": lambda: [0.5, 0.2, 0.1], "initial": lambda: 0.5, "a": lambda: 0.5, "gamma": lambda: 0.9, "steps": lambda: 6,
    "peak": lambda: 0.5, "after": lambda: 0.1, "degrees": lambda: 10.0, "factors": lambda: (0.8, 1.25), "pixels": lambda: 1,
    "std": lambda: 0.1, "size": lambda: 1, "transforms": lambda: [nn.data.Shift(1)], "image_shape": lambda: (1, 3),
    "weights": lambda: np.arange(24.0), "value": lambda: 0.5, "seed": lambda: 1, "dtype": lambda: "float64",
    "shape": lambda: (3, 2), "initializer": lambda: "zeros", "rng": lambda: np.random.default_rng(0), "epochs": lambda: 1,
    "batch_size": lambda: 8, "verbose": lambda: 0, "members": lambda: 2, "sample_weight": lambda: np.ones(24),
    "v": lambda: np.ones(20), "theta": lambda: np.ones(4), "grad": lambda: np.ones(4), "x0": lambda: [0.5, 1.0],
    "f": nn.landscapes.Beale, "trajectory": lambda: np.ones((4, 20)) * np.arange(4)[:, None], "t": lambda: 3,
    "row": lambda: {"loss": 0.5}, "first_step": lambda: 0, "data": dict, "column": lambda: "running_loss", "epoch": lambda: 1,
    "columns_": dict, "number": lambda: 1, "eta_lambda": lambda: 0.5, "mu": lambda: 0.5, "eigenvalues": lambda: [0.5, 1.0],
    "lr": lambda: 0.01, "momentum": lambda: 0.5, "lambda_min": lambda: 0.5, "lambda_max": lambda: 1.0, "goal": lambda: 0.1,
    "losses": lambda: np.array([1.0, 0.5, 0.05]), "start": lambda: [0.5, 0.5], "bounds": lambda: [[-1, 1], [-1, 1]],
    "minima": lambda: [[0.0, 0.0]], "starts": lambda: 3, "make": lambda: made, "space": lambda: {"a": [1.0, 2.0]},
    "factory": lambda: nn.SGD, "names": lambda: ["SGD", "Adam"], "state": lambda: {}, "numbers": lambda: [0, 1],
    "runs": lambda: [], "monitor": lambda: "loss", "paths": lambda: {}, "config": dict, "name": lambda: "adam",
    "key": lambda: 0, "params": dict, "member": lambda: 0, "examples": lambda: 24, "scores": lambda: [0.1, 0.2],
    "at": lambda: np.array([0.0, 1.0]), "scaler": nn.data.StandardScaler, "n": lambda: 4, "V": lambda: np.ones((20, 2)),
    "W": lambda: np.ones((3, 2)), "metrics": lambda: ["mean_absolute_error"], "callbacks": list,
    "regularizer": lambda: nn.L2(0.1), "clip": lambda: nn.ClipNorm(1.0),
    "validation_data": lambda: (X[:4].copy(), NUMBERS[:4].copy()), "sampler": lambda: "shuffled",
    "constraint": lambda: nn.MaxNorm(2.0), "lr_factors": lambda: {"dense_1": 0.5}, "class_weight": lambda: None,
    "samples": lambda: 2, "points": lambda: 3, "exact_up_to": lambda: 30, "initial_value": lambda: 0.5,
    "fraction": lambda: 0.25, "U": lambda: np.ones((48, 2)), "ax": lambda: None, "budget": lambda: 2,
}  # fmt: skip
VALID_OF: dict[tuple[str, str], Callable[[], Any]] = {  # where another value is right
    ("Constant", "value"): lambda: 0.5, ("Weighted", "weights"): lambda: np.arange(24.0),
    ("SweepTable", "runs"): lambda: swept().runs, ("Quadratic", "eigenvalues"): lambda: [1.0, 2.0],
    ("get", "optimizer"): lambda: "adam", ("Warmup", "start"): lambda: 0.0, ("Trainer.lr_find", "start"): lambda: 1e-4,
    ("PolyakAveraging", "start"): lambda: 1, ("Bags.rows", "examples"): lambda: 24,
    ("PiecewiseConstant", "levels"): lambda: [0.5, 0.2, 0.1], ("EMA", "optimizer"): nn.Adam, ("Cyclic", "gamma"): lambda: 1.0,
    ("LongValley", "slope"): lambda: 0.1, ("Trainer", "loss"): lambda: "squared_error", ("Rosenbrock", "a"): lambda: 1.0,
    ("principal_directions", "trajectory"): lambda: np.random.default_rng(0).normal(size=(5, 20)),
    ("LossSurface.project", "trajectory"): lambda: np.ones((2, 20)), ("label_ends", "ax"): lambda: None,
    ("ScipyMinimize", "bounds"): lambda: None, ("GradientOptimizer.init_state", "n"): lambda: 4,
    ("steps_to", "losses"): lambda: np.array([1.0, 0.5, 0.05]), ("GRU", "units"): lambda: 3,
    ("EnsembleTrainer", "model"): lambda: nn.Ensemble(VALID["model"](), 2), ("Landscape", "bounds"): lambda: [[-1, 1], [-1, 1]],
    ("SweepTable.filter", "condition"): lambda: None, ("Bags", "seed"): lambda: 1, ("OneCycle", "initial"): lambda: 0.1,
    ("fold_batch_norm", "X"): lambda: X.copy(), ("BatchNorm", "momentum"): lambda: 0.5, ("optimal", "momentum"): lambda: True,
    ("BatchNorm", "units"): lambda: [3], ("BatchRenorm", "units"): lambda: [3], ("Uniform", "values"): lambda: None,
    ("search_lr", "x0"): lambda: [0.5, 1.0], ("sweep", "X"): lambda: None, ("sweep", "y"): lambda: None,
    ("CSVLogger", "path"): lambda: "log.csv", ("InverseTime", "rate"): lambda: 0.5,
    ("EnsembleHistory.best", "column"): lambda: "running_loss", ("Comparison", "losses"): dict,
    ("Sequential.load", "path"): lambda: "model", ("load", "path"): lambda: "model",
    ("figures.colors", "names"): lambda: ["SGD"],
}  # fmt: skip
METHODS: dict[type, str] = {  # what users call; other methods are for subclasses, and the library calls them
    nn.Sequential: "predict forward predict_samples activations loss_and_gradient deltas hessian_vector_product "
    "gauss_newton_product hessian jacobian jacobian_product check_gradients fold_batch_norm summary save export initialize "
    "astype copy __getitem__",
    nn.Trainer: "fit fit fit fit evaluate partial_fit lr_find profile update_batch_statistics save restore",
    nn.Ensemble: "predict predict_members spread member_probabilities probabilities vote take initialize save load __getitem__",
    nn.EnsembleTrainer: "fit fit fit evaluate evaluate_members out_of_bag save restore",
    nn.GradientOptimizer: "step minimize init_state load_state_dict hyper_values configure",
    second_order.FullBatchOptimizer: "minimize load_state_dict init_state configure", nn.schedules.Schedule: "at values",
    nn.initializers.Initializer: "__call__",
    nn.data.Scaler: "fit partial_fit transform inverse_transform fit_transform set_params",
    nn.History: "append extend amend row best get from_columns from_dict __getitem__ copy",
    nn.EnsembleHistory: "member last best table", nn.SweepTable: "column sorted filter rows __getitem__",
    nn.landscapes.Landscape: "value gradient hessian value_and_gradient", nn.data.Augment: "__call__",
    nn.Regularizer: "value gradient", second_order.HessianOperator: "products matrix",
    second_order.GaussNewtonOperator: "products matrix", second_order.JacobianOperator: "products transposed_products matrix",
    second_order.ModelObjective: "value_and_gradient hessian_product hessian residuals_and_jacobian", nn.Bags: "rows",
    nn.Folds: "rows",
}  # fmt: skip
ATTRIBUTES: dict[type, str] = {  # that are no arguments of the constructor
    nn.Sequential: "input_scaler target_scaler feature_names target_names nonsense parameters layers",
    nn.Trainer: "stop_training epochs_done history seed loss optimizer regularizer clip metrics nonsense",
}


def squares(outputs: Any, targets: Any) -> Any:
    """A loss of the user's."""
    return 0.5 * ((outputs - targets) ** 2).sum(axis=1), outputs - targets


def made(a: float = 1.0) -> dict[str, float]:
    return {"loss": a}


def swept() -> nn.SweepTable:
    return nn.sweep(made, {"a": [1.0, 2.0]}, verbose=0)


def fitting(thing: Any) -> dict[str, Any]:
    """Right values of arguments for methods of this object."""
    if isinstance(thing, (nn.Sequential, nn.Ensemble)):
        thing = nn.Trainer(thing, "squared_error")
    if isinstance(thing, (nn.Trainer, nn.EnsembleTrainer)):
        inputs, targets = data_of(thing)
        size = thing.model.parameters.size if isinstance(thing.model, nn.Sequential) else 1
        return {"X": inputs.copy(), "y": targets.copy(), "v": np.ones(size), "sample_weight": np.ones(24)}
    if isinstance(thing, (second_order.HessianOperator, second_order.GaussNewtonOperator, second_order.ModelObjective)):
        return {"V": np.ones(20), "theta": np.ones(20), "v": np.ones(20)}
    if isinstance(thing, second_order.JacobianOperator):
        return {"V": np.ones(20), "U": np.ones(48)}
    if isinstance(thing, nn.landscapes.Landscape):
        return {"x": [0.5, 1.0]}
    if isinstance(thing, (nn.History, nn.EnsembleHistory)):
        return {"columns": {"loss": [1.0, 2.0]}, "values": {"loss": 0.5}, "data": {"loss": [1.0]}}
    return {"column": "a"} if isinstance(thing, nn.SweepTable) else {}


def valid(owner: str, parameter: inspect.Parameter, own: dict[str, Any] | None = None) -> Any:
    """A right value of an argument."""
    if own and parameter.name in own:
        return own[parameter.name]
    for key in ((owner, parameter.name), (owner.rpartition(".")[2], parameter.name)):
        if key in VALID_OF:
            return VALID_OF[key]()
    if parameter.default is not parameter.empty and parameter.name not in ("X", "y", "verbose"):
        return parameter.default
    return VALID[parameter.name]()


def parameters_of(function: Any) -> list[inspect.Parameter]:
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p for p in inspect.signature(function).parameters.values() if p.kind not in kinds and p.name != "self"]


def needed(owner: str, function: Any) -> dict[str, Any]:
    """Right values of the arguments that it needs."""
    return {p.name: valid(owner, p) for p in parameters_of(function) if p.default is p.empty}
