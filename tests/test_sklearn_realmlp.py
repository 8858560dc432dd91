"""RealMLP: each part of the recipe, against formulas and a twin in NumPy, and the estimators around it."""

from __future__ import annotations

import os
import pickle
import signal
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("sklearn", minversion="1.6")

from scipy.special import expit, softmax
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

import nncore as nn
from nncore.sklearn import RealMLPClassifier, RealMLPRegressor, TabularEncoder
from nncore.sklearn.estimator import Examples

Array = NDArray[Any]

QUICK: dict[str, Any] = {"hidden_layer_sizes": (16, 16), "n_epochs": 30, "random_state": 0}
X, Y = load_iris(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)
ESTIMATORS = {"classifier": (RealMLPClassifier, X, Y), "regressor": (RealMLPRegressor, *DIABETES)}
each = pytest.mark.parametrize("kind", ESTIMATORS)


def fitted(kind: str, **parameters: Any) -> Any:
    cls, inputs, targets = ESTIMATORS[kind]
    return cls(**QUICK | parameters).fit(inputs, targets)


# --- a twin in NumPy


def selu(z: Array) -> tuple[Array, Array]:
    scale, alpha = 1.0507009873554805, 1.6732632423543772
    tail = scale * alpha * np.exp(np.minimum(z, 0))
    return np.where(z > 0, scale * z, tail - scale * alpha), np.where(z > 0, scale, tail)


def mish(z: Array) -> tuple[Array, Array]:
    t = np.tanh(np.log1p(np.exp(z)))
    return z * t, t + z * expit(z) * (1 - t**2)


def twin(start: dict[str, Array], inputs: Array, targets: Array, steps: int, regression: bool, ntk: bool, factors: Any) -> Any:
    """Adam on the full batch in the neural tangent parametrization, z = hW/√d + b."""
    p = {name: array.astype(float).copy() for name, array in start.items()}
    layers = [name for name in p if name != "scale"]
    weights = [name for name in layers if p[name].ndim == 2]
    biases = [name for name in layers if p[name].ndim == 1]
    root = {name: np.sqrt(p[name].shape[1]) if ntk else 1.0 for name in weights}
    for name in weights:
        p[name] *= root[name]
    moments = {name: (np.zeros_like(array), np.zeros_like(array)) for name, array in p.items()}
    rate = 0.07 if regression else 0.04
    for t in range(steps):
        h, kept = p["scale"] * inputs, []
        for W, b in zip(weights, biases, strict=True):
            z = h @ p[W].T / root[W] + p[b]
            kept.append((h, z))
            h = (mish if regression else selu)(z)[0] if weights[-1] != W else z
        delta = 2 * (h - targets) / h.size if regression else (softmax(h, axis=1) - targets) / len(h)
        gradient = {}
        for W, b, (h, z) in zip(weights[::-1], biases[::-1], kept[::-1], strict=True):
            if weights[-1] != W:
                delta = delta * (mish if regression else selu)(z)[1]
            gradient[W], gradient[b] = delta.T @ h / root[W], delta.sum(axis=0)
            delta = delta @ p[W] / root[W]
        gradient["scale"] = (delta * inputs).sum(axis=0)
        lr = rate * (1 - np.cos(2 * np.pi * np.log2(1 + 15 * t / steps))) / 2
        for name, g in gradient.items():
            m, v = moments[name]
            m[...], v[...] = 0.9 * m + 0.1 * g, 0.95 * v + 0.05 * g**2
            factor = factors["scale"] if name == "scale" else factors["bias"] if p[name].ndim == 1 else 1.0
            p[name] -= factor * lr * m / (1 - 0.9 ** (t + 1)) / (np.sqrt(v / (1 - 0.95 ** (t + 1))) + 1e-20)
    return {name: array / root.get(name, 1.0) for name, array in p.items()}


def arrays(model: nn.Sequential) -> dict[str, Array]:
    result = {"scale": model.layers[0].weight}
    for layer in model.layers:
        if isinstance(layer, nn.Dense):
            result |= {f"{layer.name} W": layer.weight, f"{layer.name} b": layer.bias}
    return result


RECIPES = {
    "the recipe": ({}, {"scale": 6.0, "bias": 0.1}),
    "without factors": ({"ntk": False, "scale_lr_factor": 1.0, "bias_lr_factor": 1.0}, {"scale": 1.0, "bias": 1.0}),
}


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("regression", [False, True])
def test_against_a_twin_in_numpy(regression: bool, recipe: str) -> None:
    rng = np.random.default_rng(0)
    data = rng.standard_normal((20, 3))
    labels, numbers = rng.integers(0, 3, 20), rng.standard_normal((20, 2)) * [1, 10] + 5
    parameters, factors = RECIPES[recipe]
    options: dict[str, Any] = {"hidden_layer_sizes": (5, 4), "encoder": None, "validation_fraction": 0, "epsilon": 1e-20}
    if regression:  # mean gradients of 0 would leave Adam with rounding errors
        options["standardize"] = False
    cls = RealMLPRegressor if regression else RealMLPClassifier
    estimator = cls(**options, **parameters, n_epochs=7, dtype="float64", random_state=3)
    estimator.fit(data, numbers if regression else labels)
    start = estimator.model_.copy()
    start.initialize()
    targets = numbers if regression else 0.9 * np.eye(3)[labels] + 0.1 / 3
    expected = twin(arrays(start), data, targets, 7, regression, not parameters, factors)
    for name, array in arrays(estimator.model_).items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-8, atol=1e-10, err_msg=name)
        assert not np.allclose(array, arrays(start)[name])


# --- the parts of the recipe


def names(estimator: Any) -> list[str]:
    return [type(layer).__name__ for layer in estimator.model_.layers]


def test_the_network() -> None:
    estimator = RealMLPClassifier((400, 300), n_epochs=1, random_state=0).fit(X, Y)
    assert names(estimator) == ["Scale", "Dense", "SELU", "Dense", "SELU", "Dense"]
    start = estimator.model_.copy()
    start.initialize()
    scale, first, first_b, second, second_b, last, last_b = arrays(start).values()
    assert (scale == 1).all()
    assert first.std() == pytest.approx(1 / np.sqrt(4), rel=0.05)
    assert second.std() == pytest.approx(1 / np.sqrt(400), rel=0.02)
    for bias in (first_b, second_b):
        assert bias.std() == pytest.approx(1, rel=0.1)
    assert not last.any()
    assert not last_b.any()
    assert last.shape == (3, 300)


def test_parts_that_are_switched_off() -> None:
    estimator = RealMLPRegressor(
        (100, 90), encoder=None, scale_lr_factor=None, ntk=False, zero_output=False, schedule=None, n_epochs=1,
        standardize=False, clip=False, validation_fraction=0, random_state=0,
    ).fit(X, Y)  # fmt: skip
    assert names(estimator) == ["Dense", "Mish", "Dense", "Mish", "Dense"]
    assert estimator.encoder_ is None
    assert estimator.model_.target_scaler is None
    assert estimator.trainer_.optimizer.lr == 0.07
    start = estimator.model_.copy()
    start.initialize()
    for layer in start.layers[::2]:
        assert layer.weight.std() == pytest.approx(np.sqrt(2 / sum(layer.weight.shape)), rel=0.15)
        assert not layer.bias.any()
    np.testing.assert_allclose(estimator.predict(X), estimator.model_.forward(X)[:, 0])


def test_training() -> None:
    data = np.random.default_rng(0).standard_normal((1000, 2))
    estimator = RealMLPClassifier((8,), n_epochs=5, validation_fraction=0).fit(data, data[:, 0] > 0)
    assert estimator.trainer_.optimizer.step_count == 5 * 3  # the last 232 are left out
    t = np.array([3, 6, 9, 12, 15]) - 1
    np.testing.assert_allclose(estimator.history_["lr"], 0.02 * (1 - np.cos(2 * np.pi * np.log2(1 + t))), atol=1e-15)
    assert repr(estimator.trainer_.optimizer.betas) == "(0.9, 0.95)"
    keep = (
        clone(estimator)
        .set_params(last_batch="keep", batch_size=300, schedule=nn.schedules.Constant(0.1))
        .fit(data, data[:, 0] > 0)
    )
    assert keep.trainer_.optimizer.step_count == 5 * 4
    assert set(keep.history_["lr"]) == {0.1}


def test_labels_are_smoothed() -> None:
    """At the optimum of a single batch of equal rows the probabilities are the smoothed frequencies."""
    parameters = {"encoder": None, "validation_fraction": 0, "n_epochs": 300, "bias_lr_factor": 1.0}
    for smoothing, expected in ((0.1, [0.9 * 0.75 + 0.05, 0.9 * 0.25 + 0.05]), (0.0, [0.75, 0.25])):
        estimator = RealMLPClassifier((), **parameters, label_smoothing=smoothing).fit(np.zeros((8, 1)), [0] * 6 + [1] * 2)
        np.testing.assert_allclose(estimator.predict_proba([[0.0]])[0], expected, atol=0.01)


def test_targets_are_standardized_and_predictions_clipped() -> None:
    inputs, y = DIABETES
    estimator = fitted("regressor")
    scaler = estimator.model_.target_scaler
    assert (scaler.mean_[0], scaler.scale_[0]) == (pytest.approx(y.mean()), pytest.approx(y.std()))
    far = inputs * 50
    raw = estimator.model_.predict(estimator.encoder_.transform(far))[:, 0]
    assert raw.max() > y.max()
    np.testing.assert_allclose(estimator.predict(far), np.clip(raw, y.min(), y.max()), rtol=1e-6)
    assert [float(end) for end in estimator.target_range_] == [y.min(), y.max()]


def test_columns_of_targets() -> None:
    inputs, y = DIABETES
    both = np.column_stack([y, -1000 * y])
    estimator = RealMLPRegressor(**QUICK).fit(inputs, both)
    predictions = estimator.predict(inputs)
    assert predictions.shape == both.shape
    assert estimator.score(inputs, both) > 0.4
    assert (predictions >= both.min(axis=0)).all()


# --- the best epoch


@each
def test_the_last_of_the_best_epochs_counts(kind: str) -> None:
    _, inputs, targets = ESTIMATORS[kind]
    train, held_back = slice(0, None, 2), slice(1, None, 6)
    estimator = ESTIMATORS[kind][0](**QUICK)
    estimator.fit(inputs[train], targets[train], X_val=inputs[held_back], y_val=targets[held_back])
    scores = estimator.history_["val_score"]
    best = max(epoch for epoch, score in enumerate(scores, 1) if score == max(scores))
    assert estimator.best_epochs_ == [best]
    if kind == "classifier":
        assert max(scores) == estimator.score(inputs[held_back], targets[held_back])
        assert list(scores).count(max(scores)) > 1
    else:
        assert best < 30
        error = (estimator.predict(inputs[held_back]) - targets[held_back]) / targets[train].std()
        assert -max(scores) == pytest.approx((error**2).mean(), rel=1e-4)


def test_monitored_loss() -> None:
    estimator = fitted("classifier", monitor="loss")
    losses = estimator.history_["val_loss"]
    assert estimator.best_epochs_ == [int(np.argmin(losses)) + 1]
    np.testing.assert_array_equal(estimator.history_["val_score"], -np.asarray(losses))


@each
def test_nothing_held_back(kind: str) -> None:
    estimator = fitted(kind, validation_fraction=0)
    assert estimator.best_epochs_ == [30]
    assert "val_loss" not in estimator.history_


def test_what_is_held_back() -> None:
    """A fifth of each class, also where a class has a single example."""
    estimator = RealMLPClassifier(**QUICK).fit(X, np.array(["a"] * 100 + ["b"] * 49 + ["c"]))
    examples = Examples(X, np.array([0] * 100 + [1] * 49 + [2]), np.arange(150.0))
    train, held_back = estimator._hold_back(examples, 0)
    assert np.bincount(held_back.y, minlength=3)[:2].tolist() == [20, 10]
    assert sorted([*train.weights, *held_back.weights]) == list(range(150))
    np.testing.assert_array_equal(held_back.X, X[held_back.weights.astype(int)])


def test_a_single_example_cannot_be_held_back() -> None:
    with pytest.raises(ValueError, match="nothing can be held back for validation where n_samples=1: pass X_val"):
        RealMLPRegressor().fit([[1.0]], [1.0])


def test_weights_of_the_validation_score() -> None:
    weights = np.r_[np.ones(50), np.zeros(100)]
    estimator = RealMLPClassifier(**QUICK)
    estimator.fit(X, Y, X_val=X, y_val=np.where(Y == 0, 0, 2 - Y // 2), sample_weight_val=weights)
    assert max(estimator.history_["val_score"]) == 1.0


# --- ensembles


@each
def test_members_are_averaged(kind: str) -> None:
    _, inputs, _ = ESTIMATORS[kind]
    estimator, single = fitted(kind, n_members=3), fitted(kind)
    np.testing.assert_array_equal(estimator.model_.parameters, single.model_.parameters)
    assert len(estimator.models_) == len(estimator.trainers_) == len(estimator.best_epochs_) == 3
    assert not np.array_equal(estimator.models_[0].parameters, estimator.models_[1].parameters)
    outputs = [model.predict(estimator.encoder_.transform(inputs)) for model in estimator.models_]
    if kind == "classifier":
        mean = np.mean([softmax(z.astype(float), axis=1) for z in outputs], axis=0)
        np.testing.assert_allclose(estimator.predict_proba(inputs), mean, rtol=1e-10)
        np.testing.assert_array_equal(estimator.predict(inputs), mean.argmax(axis=1))
    else:
        np.testing.assert_allclose(estimator.predict(inputs), np.mean(outputs, axis=0)[:, 0], rtol=1e-5)


def test_several_labels_of_an_ensemble() -> None:
    several = np.column_stack([Y > 0, Y > 1, Y == 1]).astype(int)
    estimator = RealMLPClassifier(**QUICK | {"n_epochs": 100}, n_members=2).fit(X, several)
    outputs = [expit(model.forward(estimator.encoder_.transform(X)).astype(float)) for model in estimator.models_]
    np.testing.assert_allclose(estimator.predict_proba(X), np.mean(outputs, axis=0), rtol=1e-10)
    np.testing.assert_array_equal(estimator.predict(X), np.mean(outputs, axis=0) > 0.5)
    assert estimator.score(X, several) > 0.9


# --- data


COLORS = ["red", "blue", "green", None]


def table(library: str, n: int = 120) -> tuple[Any, Array]:
    """Targets that depend on numbers, text and truth values alike."""
    frames = pytest.importorskip(library)
    pytest.importorskip("sklearn", minversion="1.9" if library == "polars" else "1.6")
    rng = np.random.default_rng(0)
    size, color, new = rng.standard_normal(n), rng.integers(0, 4, n), rng.random(n) < 0.5
    columns = {"size": size, "color": [COLORS[code] for code in color], "new": new, "noise": rng.integers(0, 9, n)}
    return frames.DataFrame(columns), size + 2 * (color == 1) - 2 * (color == 3) + new


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_data_frames(library: str) -> None:
    frame, y = table(library)
    estimator = RealMLPRegressor(**QUICK | {"n_epochs": 100}).fit(frame, y)
    assert estimator.score(frame, y) > 0.9
    assert list(estimator.feature_names_in_) == ["size", "color", "new", "noise"]
    assert estimator.n_features_in_ == 4
    names = estimator.encoder_.get_feature_names_out().tolist()
    assert names == ["size", "noise", "color_blue", "color_green", "color_red", "new_True"]
    labels = np.where(y > 0, "yes", "no")
    classifier = RealMLPClassifier(**QUICK | {"n_epochs": 100}).fit(frame, labels, X_val=frame, y_val=labels)
    assert classifier.score(frame, labels) > 0.9
    assert classifier.classes_.tolist() == ["no", "yes"]
    with pytest.raises(ValueError, match="feature names"):
        classifier.predict(frame[["color", "size", "new", "noise"]])


def test_an_encoder_whose_result_is_sparse() -> None:
    frame, y = table("pandas")
    texts = frame.select_dtypes(exclude="number")
    sparse, dense = (
        RealMLPRegressor(**QUICK | {"n_epochs": 2}, encoder=OneHotEncoder(sparse_output=sparse)).fit(texts, y).predict(texts)
        for sparse in (True, False)
    )
    np.testing.assert_array_equal(sparse, dense)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (lambda X: np.asarray(X)[:, 0], r"the result of encoder must have shape \(150, columns\), got \(150,\)"),
        (lambda X: np.asarray(X)[:100], r"the result of encoder must have shape \(150, columns\), got \(100, 4\)"),
        (lambda X: np.asarray(X)[:, :0], r"the result of encoder must have shape \(150, columns\), got \(150, 0\)"),
        (lambda X: np.full((len(X), 1), "a"), "the result of encoder must hold real numbers, got dtype <U1"),
        (lambda X: None, "the result of encoder must hold real numbers, got None"),
    ],
)
def test_an_encoder_whose_result_is_wrong(result: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        RealMLPClassifier(**QUICK, encoder=FunctionTransformer(result)).fit(X, Y)
    good = RealMLPClassifier(**QUICK | {"n_epochs": 2}, encoder=FunctionTransformer()).fit(X, Y)
    good.encoder_.func = result
    with pytest.raises((TypeError, ValueError), match=message):
        good.predict(X)


def test_missing_numbers_of_a_data_frame() -> None:
    frame, y = table("pandas")
    frame.loc[3, "size"] = np.nan
    with pytest.raises(ValueError, match="got NaN in row 3 of column 'size'"):
        RealMLPRegressor(**QUICK).fit(frame, y)
    estimator = RealMLPRegressor(**QUICK, encoder=TabularEncoder(missing="median")).fit(frame, y)
    assert np.isfinite(estimator.predict(frame)).all()


@pytest.mark.parametrize("labels", [["a", "b", "c"], [False, True, True], [-3, 7, 9], [1.0, 2.0, 5.0]])
def test_labels_of_any_type(labels: list[Any]) -> None:
    y = np.array(labels)[Y]
    estimator = RealMLPClassifier(**QUICK).fit(X, y)
    np.testing.assert_array_equal(estimator.classes_, np.unique(y))
    assert estimator.predict(X).dtype == y.dtype
    assert estimator.score(X, y) > 0.93
    assert estimator.n_outputs_ == len(estimator.classes_)


def test_class_weights_multiply_sample_weights() -> None:
    weights = np.random.default_rng(0).uniform(0.5, 2, 150)
    by_class = {"a": 1, "b": 5, "c": 0.5}
    y = np.array(["a", "b", "c"])[Y]
    one = RealMLPClassifier(**QUICK, class_weight=by_class).fit(X, y, weights)
    other = RealMLPClassifier(**QUICK).fit(X, y, weights * [by_class[label] for label in y])
    np.testing.assert_array_equal(one.model_.parameters, other.model_.parameters)
    plain = RealMLPClassifier(**QUICK).fit(X, y)
    assert not np.array_equal(one.model_.parameters, plain.model_.parameters)


def test_weights_have_a_mean_of_1() -> None:
    """Adam's ε would be large beside the gradients of tiny weights."""
    one, other = (RealMLPClassifier(**QUICK).fit(X, Y, weights) for weights in (None, np.full(150, 2.0**-40)))
    np.testing.assert_allclose(one.model_.parameters, other.model_.parameters, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("encoder", ["tabular", None])
@each
def test_an_example_of_weight_0_is_as_if_absent(kind: str, encoder: Any) -> None:
    cls, inputs, targets = ESTIMATORS[kind]
    weights, inputs, targets = np.full(len(inputs), 1.5), inputs.copy(), targets.copy()
    weights[3::7], weights[1::5] = 0, 3
    inputs[weights == 0] += 1e3
    if kind == "regressor":
        targets[weights == 0] = 1e4
    kept = weights > 0
    one = cls(**QUICK, encoder=encoder).fit(inputs, targets, weights)
    other = cls(**QUICK, encoder=encoder).fit(inputs[kept], targets[kept], weights[kept])
    np.testing.assert_array_equal(one.model_.parameters, other.model_.parameters)
    np.testing.assert_array_equal(one.predict(inputs[kept]), other.predict(inputs[kept]))
    if kind == "regressor":
        assert one.target_range_ == (targets[kept].min(), targets[kept].max())
        assert one.model_.target_scaler.mean_[0] == pytest.approx(targets[kept].mean())


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_weights_of_the_rows_of_a_data_frame(library: str) -> None:
    """A category without a weight is none, and a class of weight 0 has no example."""
    frame, y = table(library)
    labels, colors = np.where(y > 0, "yes", "no"), np.array(frame["color"].to_list(), dtype=object)
    estimator = RealMLPClassifier(**QUICK).fit(frame, labels, (colors != "green").astype(float))
    assert list(estimator.encoder_.categories_[0]) == ["blue", "red"]
    by_class = RealMLPClassifier(**QUICK | {"n_epochs": 100}, class_weight={"no": 0}).fit(frame, labels)
    assert by_class.classes_.tolist() == ["no", "yes"]
    assert (by_class.predict(frame) == "yes").all()
    assert by_class.encoder_.medians_[0] == pytest.approx(np.median(np.asarray(frame["size"])[labels == "yes"]))


def test_a_list_of_rows_with_weights() -> None:
    weights = np.arange(150.0) % 3
    one, other = (RealMLPClassifier(**QUICK).fit(rows, Y, weights) for rows in (X, X.tolist()))
    np.testing.assert_array_equal(one.model_.parameters, other.model_.parameters)


# --- around training


@each
def test_copies(kind: str) -> None:
    _, inputs, _ = ESTIMATORS[kind]
    estimator = fitted(kind, n_members=2, encoder=TabularEncoder(missing="median"))
    copy = pickle.loads(pickle.dumps(estimator))
    np.testing.assert_array_equal(copy.predict(inputs), estimator.predict(inputs))
    again = clone(estimator)
    assert not hasattr(again, "models_")
    assert again.encoder is not estimator.encoder
    assert repr(estimator.encoder) == repr(again.encoder)


@each
def test_random_state(kind: str) -> None:
    one, other, third = (fitted(kind, random_state=state).model_.parameters for state in (0, 0, 1))
    np.testing.assert_array_equal(one, other)
    assert not np.array_equal(one, third)


@each
def test_html_representation(kind: str) -> None:
    estimator = fitted(kind, n_epochs=1)
    assert type(estimator).__name__ in estimator._repr_html_()
    assert estimator._get_doc_link().endswith(f"sklearn.html#nncore.sklearn.{type(estimator).__name__}")


@each
@pytest.mark.parametrize("validation", ["val_score", "val_loss"])
def test_callbacks_see_the_score_and_the_best_epoch_counts(kind: str, validation: str) -> None:
    """Whatever a callback puts back."""
    seen: list[dict[str, Any]] = []
    callbacks = [
        nn.EarlyStopping(validation, patience=3, mode="max" if validation == "val_score" else "min"),
        nn.LambdaCallback(on_epoch_end=lambda trainer, epoch, row: seen.append({**row, "θ": trainer.model.parameters.copy()})),
    ]
    estimator = fitted(kind, callbacks=callbacks)
    scores = [row["val_score"] for row in seen]
    np.testing.assert_array_equal(estimator.history_["val_score"], scores)
    best = estimator.best_epochs_[0]
    assert scores[best - 1] == max(scores)
    np.testing.assert_array_equal(estimator.model_.parameters, seen[best - 1]["θ"])


def test_verbose(capsys: pytest.CaptureFixture[str]) -> None:
    fitted("classifier", n_epochs=2, verbose=2)
    assert [line.split("  ")[0] for line in capsys.readouterr().err.splitlines()] == ["epoch 1/2", "epoch 2/2"]
    fitted("classifier", n_epochs=2)
    assert capsys.readouterr() == ("", "")


def test_interruption_keeps_the_best_so_far() -> None:
    def press(trainer: Any, epoch: int, row: Any) -> None:
        if epoch == 3:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.warns(UserWarning, match="interrupted"):
        estimator = fitted("classifier", callbacks=[nn.LambdaCallback(on_epoch_end=press)], n_members=4)
    assert len(estimator.models_) == 1
    assert len(estimator.history_) == 3
    assert max(estimator.history_["val_score"]) == estimator.history_["val_score"][estimator.best_epochs_[0] - 1]
    assert estimator.predict(X).shape == (150,)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_epochs": 0}, "n_epochs must be"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"n_members": 0}, "n_members must be"),
        ({"last_batch": "lose"}, "last_batch must be"),
        ({"schedule": "cosine"}, "schedule must be"),
        ({"encoder": "onehot"}, "encoder must be"),
        ({"activation": "rely"}, "activation must be one of"),
        ({"ntk": "yes"}, "ntk must be"),
        ({"scale_lr_factor": -1}, "scale_lr_factor must be"),
        ({"label_smoothing": 2}, "label_smoothing must be"),
        ({"validation_fraction": 1}, "validation_fraction must be"),
        ({"monitor": "val_accuracy"}, "monitor must be"),
    ],
)
def test_wrong_parameters(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        RealMLPClassifier(**QUICK | parameters).fit(X, Y)


def test_grid_search() -> None:
    frame, y = table("pandas")
    estimator = RealMLPRegressor(**QUICK, encoder=TabularEncoder())
    grid = {"encoder__scaler": ["robust", None], "ntk": [True, False]}
    search = GridSearchCV(estimator, grid, cv=3).fit(frame, y)
    assert search.best_score_ > 0.5
    assert len(set(search.cv_results_["mean_test_score"])) == 4
