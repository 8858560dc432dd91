"""Configured objects: an assignment is checked like the constructor's argument and has the same effect, or is refused."""

from __future__ import annotations

import copy
import inspect
import io
import json
import math
import pickle
from typing import Any

import numpy as np
import pytest
from helpers.configuration import CLASSES, EACH, X, arguments, attribute, default, described, named, other_values, outcome, y
from helpers.layers import OF_SEQUENCES

import nncore as nn
from nncore import initializers, landscapes, losses, optimizers, samplers, schedules
from nncore import second_order as so
from nncore._utils import fields
from nncore.landscapes import functions
from nncore.landscapes.functions import Rosenbrock
from nncore.training import metrics

VALUES: list[Any] = [
    math.nan, math.inf, -math.inf, -1, -1e-300, 0, 0.0, 1, 1.0, 2, 5, 2.5, 10**6, 2**64, True, False, None, "no", "", "x",
    "False", object(), np.float64(0.25), np.float32(0.5), np.int64(3), np.True_, (0.1, 0.2), [1, 2], (2.0, 1.0), {},
    "max", "inside",
]  # fmt: skip


@EACH
def test_assignments_are_checked_like_arguments(cls: type) -> None:
    """For any value, constructor and assignment agree, or the assignment is refused because the attribute is fixed."""
    for name in named(cls):
        for value in VALUES:
            constructed = outcome(lambda n=name, v=value: cls(**{**arguments(cls), n: v}))
            instance = cls(**arguments(cls))
            before = described(instance)
            error = outcome(lambda i=instance, n=name, v=value: setattr(i, attribute(cls, n), v))
            if error is None:
                assert not isinstance(constructed, tuple), (name, value, constructed)
                assert described(instance) == described(constructed), (name, value)
            else:
                assert described(instance) == before, (name, value)
                fixed = issubclass(error[0], AttributeError)
                assert fixed or error == constructed, (name, value, error, constructed)


@EACH
def test_values_that_no_argument_accepts(cls: type) -> None:
    for name in named(cls):
        for value in (object(), math.nan, np.array(math.nan)):
            with pytest.raises((TypeError, ValueError), match=r"must|exclude"):
                cls(**{**arguments(cls), name: value})


@EACH
def test_flags_are_true_or_false(cls: type) -> None:
    for name in named(cls):
        if isinstance(default(cls, name), bool):
            for value in ("False", "no", 1, 0, None, np.int64(1)):
                with pytest.raises(TypeError, match=f"^{name} must be True or False, got "):
                    cls(**{**arguments(cls), name: value})
            assert getattr(cls(**{**arguments(cls), name: np.True_}), attribute(cls, name)) is True


RANGES: list[tuple[Any, str, Any]] = [
    (nn.SGD, "lr", -1), (nn.Adam, "betas", (1.0, 0.5)), (nn.Adam, "betas", (0.5,)), (nn.Adam, "eps_placement", "under"),
    (nn.Rprop, "step_sizes", (2.0, 1.0)), (nn.Rprop, "etas", (0.5, 1.0)), (nn.EMA, "decay", 1.0), (nn.RMSprop, "momentum", 1),
    (nn.GradientNoise, "seed", 2**63), (so.ModifiedNewton, "floor", 1), (so.TruncatedNewton, "max_radius", 0.5),
    (so.LBFGS, "memory", 0), (so.Newton, "tol", -1), (schedules.OneCycle, "fraction", 1.0), (schedules.OneCycle, "steps", 1),
    (schedules.PiecewiseConstant, "boundaries", [3, 2]), (schedules.PiecewiseConstant, "levels", [1.0]),
    (samplers.ImportanceSampling, "mix", 1.5), (nn.ClipValue, "limit", 0), (losses.Huber, "delta", 0), (nn.L2, "strength", -5),
    (nn.Dropout, "rate", 1), (nn.BatchNorm, "momentum", 0), (nn.BatchNorm, "units", [1, 1]), (nn.GroupNorm, "groups", 0),
    (nn.Shakeout, "c", -1), (nn.MultiplicativeWhiteout, "gamma", 2.5), (nn.Dense, "units", 0), (nn.Dense, "name", ""),
    (nn.EarlyStopping, "patience", -1), (nn.EarlyStopping, "mode", "most"), (nn.ReduceLROnPlateau, "factor", 1),
    (nn.data.MinMaxScaler, "feature_range", (1, 0)), (nn.data.Decorrelate, "tol", 1), (nn.data.StandardScaler, "nan", "keep"),
    (initializers.Normal, "std", -1), (functions.Rosenbrock, "b", 0),
]  # fmt: skip


@pytest.mark.parametrize(("cls", "name", "value"), RANGES, ids=lambda value: getattr(value, "__name__", str(value)))
def test_ranges(cls: type, name: str, value: Any) -> None:
    """The same error in both cases, and nothing has changed."""
    with pytest.raises(ValueError) as constructed:
        cls(**{**arguments(cls), name: value})
    instance = cls(**arguments(cls))
    before = described(instance)
    with pytest.raises((ValueError, AttributeError)) as assigned:
        setattr(instance, attribute(cls, name), value)
    assert described(instance) == before
    if not isinstance(assigned.value, AttributeError):
        assert str(assigned.value) == str(constructed.value)


# ---- an assignment has the effect of the constructor's argument


STEPS = [(cls, name, value) for cls in CLASSES
         if issubclass(cls, optimizers.Optimizer) and not getattr(cls, "needs_network", False)
         for name in named(cls) for value in other_values(cls, name)]  # fmt: skip
NAMES = {"ids": lambda value: getattr(value, "__name__", str(value))}


def walk(optimizer: Any, theta: Any, steps: int = 3) -> bytes:
    rng = np.random.default_rng(5)
    for _ in range(steps):
        optimizer.step(theta, rng.standard_normal(theta.size) * 1e-3)
    optimizer.finish(theta)
    return bytes(theta.tobytes())


@pytest.mark.parametrize(("cls", "name", "value"), STEPS, **NAMES)
def test_an_assigned_flag_has_the_effect_of_the_argument(cls: type, name: str, value: Any) -> None:
    constructed, assigned = cls(**{**arguments(cls), name: value}), cls(**arguments(cls))
    setattr(assigned, name, value)
    if issubclass(cls, so.FullBatchOptimizer):
        ways = [outcome(lambda o=o: o.minimize(Rosenbrock(), [-1.2, 1.0], 6)) for o in (constructed, assigned)]
        ways = [way if isinstance(way, tuple) else way.theta.tobytes() for way in ways]
    else:
        ways = [walk(o, np.ones(40)) for o in (constructed, assigned)]
    assert ways[0] == ways[1]
    assert repr(constructed) == repr(assigned)


@pytest.mark.parametrize(("cls", "name", "value"), [s for s in STEPS if not issubclass(s[0], so.FullBatchOptimizer)], **NAMES)
def test_a_flag_assigned_between_steps(cls: type, name: str, value: Any) -> None:
    """It takes effect in the next step, as in an optimizer that was made with it and took over the state; or it is refused."""
    theta, assigned = np.ones(40), cls(**arguments(cls))
    walk(assigned, theta)
    before = repr(assigned)
    try:
        setattr(assigned, name, value)
    except ValueError as error:
        assert "is fixed once" in str(error)  # noqa: PT017
        assert repr(assigned) == before
        return
    constructed = cls(**{**arguments(cls), name: value})
    constructed.init_state(theta.size, theta.dtype)
    constructed.load_state_dict(assigned.state_dict())
    assert walk(assigned, theta.copy()) == walk(constructed, theta.copy())


def trainer(optimizer: Any, **kw: Any) -> nn.Trainer:
    model = nn.Sequential([nn.Dense(5), nn.Tanh(), nn.Dense(3)], input_shape=4, dtype="float64", seed=1)
    return nn.Trainer(model, kw.pop("loss", "squared_error"), optimizer, **kw)


PROGRAMS = [
    (nn.Adam, "eps_placement", "inside"), (nn.Adam, "bias_correction", False), (nn.Momentum, "lr_placement", "outside"),
    (nn.AdaDelta, "eps_placement", "outside"), (nn.GradientNoise, "seed", 7), (nn.RMSprop, "eps_placement", "inside"),
]  # fmt: skip


@pytest.mark.parametrize(("cls", "name", "value"), PROGRAMS, **NAMES)
def test_training_follows_an_assigned_flag(cls: type, name: str, value: Any) -> None:
    """Another program is compiled."""
    one, other = trainer(cls(**arguments(cls))), trainer(cls(**{**arguments(cls), name: value}))
    one.fit(X, y, epochs=2, batch_size=4, verbose=0)
    other.model.parameters[...] = one.model.parameters
    other.optimizer.load_state_dict(one.optimizer.state_dict())
    other.epochs_done = one.epochs_done
    setattr(one.optimizer, name, value)
    for each in (one, other):
        each.fit(X, y, epochs=2, batch_size=4, verbose=0)
    assert one.model.parameters.tobytes() == other.model.parameters.tobytes()


def test_flags_of_a_wrapped_optimizer_are_the_wrappers() -> None:
    for make in (lambda inner: nn.EMA(inner), lambda inner: nn.GradientNoise(nn.EMA(inner))):
        assigned = make(nn.Adam())
        assigned.eps_placement = "inside"
        assert "inside" in repr(assigned)
        assert walk(assigned, np.ones(9)) == walk(make(nn.Adam(eps_placement="inside")), np.ones(9))
    assigned = nn.EMA(nn.RMSprop())
    assigned.centered = True
    assert assigned.slots == ("r", "a", "average")
    walk(assigned, np.ones(9))
    with pytest.raises(ValueError, match="centered is fixed once there is a state"):
        assigned.centered = False
    with pytest.raises(AttributeError, match="optimizer is fixed"):
        assigned.optimizer = nn.SGD()


LAYERED = [(cls, name, value) for cls in CLASSES if issubclass(cls, nn.Layer) for name in named(cls)
           for value in other_values(cls, name)]  # fmt: skip


@pytest.mark.parametrize(("cls", "name", "value"), LAYERED, **NAMES)
def test_an_assigned_argument_of_a_layer_has_the_effect_of_the_argument(cls: Any, name: str, value: Any) -> None:
    shape = (4, 2) if issubclass(cls, OF_SEQUENCES) else 8
    rows = np.random.default_rng(3).standard_normal((6, 4, 2))
    constructed, assigned = cls(**{**arguments(cls), name: value}), cls(**arguments(cls))
    setattr(assigned, attribute(cls, name), value)
    results = []
    for layer in (constructed, assigned):
        model = nn.Sequential([layer], input_shape=shape, dtype="float64", seed=2)
        results.append([model.forward(rows.reshape(6, *model.input_shape), training=t).tobytes() for t in (True, False)])
    assert results[0] == results[1]
    assert repr(constructed) == repr(assigned)


def test_losses_clips_and_penalties_follow_an_assignment() -> None:
    for make, name, value in (
        (lambda v: {"loss": losses.Huber(v)}, "loss.delta", 0.01), (lambda v: {"clip": nn.ClipValue(v)}, "clip.limit", 0.01),
        (lambda v: {"clip": nn.ClipGlobalNorm(v)}, "clip.limit", 0.01),
        (lambda v: {"regularizer": nn.L2(v)}, "regularizer.l2", 2.0),
        (lambda v: {"regularizer": nn.ProximalL1(v)}, "regularizer.proximal", 2.0),
    ):  # fmt: skip
        constructed, assigned = trainer(nn.SGD(0.1), **make(value)), trainer(nn.SGD(0.1), **make(1.0))
        part, attribute_ = name.split(".")
        start = assigned.model.parameters.copy()
        assigned.fit(X, y, epochs=1, verbose=0)  # with the program for 1.0
        assigned.model.parameters[...], assigned.epochs_done = start, 0
        setattr(getattr(assigned, part), attribute_, value)
        for each in (constructed, assigned):
            each.fit(X, y, epochs=2, batch_size=4, verbose=0)
        assert constructed.model.parameters.tobytes() == assigned.model.parameters.tobytes()


@pytest.mark.parametrize("name", schedules.SCHEDULES)
def test_an_assigned_argument_of_a_schedule_has_the_effect_of_the_argument(name: str) -> None:
    cls = schedules.SCHEDULES[name]
    for argument in named(cls):
        for value in [*other_values(cls, argument), *([7] if arguments(cls).get(argument) in (2, 3, 4, 10) else [])]:
            constructed, assigned = cls(**{**arguments(cls), argument: value}), cls(**arguments(cls))
            setattr(assigned, argument, value)
            assert np.array_equal(constructed.values(0, 30, 3), assigned.values(0, 30, 3))


def test_a_scaler_follows_an_assignment_after_the_fit() -> None:
    for cls, name, value in ((nn.data.MinMaxScaler, "feature_range", (-1, 1)), (nn.data.Decorrelate, "tol", 0.9)):
        constructed, assigned = cls(**{name: value}).fit(X), cls().fit(X)
        setattr(assigned, name, value)
        assert np.array_equal(constructed.transform(X), assigned.transform(X))
        assert all(np.array_equal(getattr(assigned, key), array) for key, array in vars(constructed).items() if key[-1] == "_")


def test_callbacks_follow_an_assignment() -> None:
    stopping = nn.EarlyStopping("val_loss")
    stopping.monitor = "loss"
    stopping.check_columns(["loss"])
    checkpoint = nn.ModelCheckpoint("net")
    checkpoint.monitor = "loss"
    with pytest.raises(ValueError, match="column, got 'loss'"):
        checkpoint.check_columns(["val_loss"])


# ---- names, configurations, copies


@EACH
def test_unknown_attributes_are_refused(cls: type) -> None:
    instance = cls(**arguments(cls))
    with pytest.raises(AttributeError, match="color"):
        instance.color = "red"
    if cls is so.ScipyMinimize:  # whose other arguments are the method's
        return
    with pytest.raises(TypeError, match="color"):
        cls(**arguments(cls), color="red")
    for name in ("slots", "kernel", "name", "l1") if not issubclass(cls, (nn.Layer, nn.ElasticNet, nn.L1)) else ():
        if name not in fields.arguments(cls) and hasattr(type(instance), name):
            with pytest.raises(AttributeError):
                setattr(instance, name, "nonsense")


def test_unknown_attributes_are_explained() -> None:
    for instance, name, hint in (
        (nn.L2(1e-3), "strength", "it is l2"), (nn.ClipValue(1.0), "limt", "did you mean 'limit'"),
        (nn.EarlyStopping(), "patince", "did you mean 'patience'"),
        (schedules.Exponential(1.0, 0.5), "gama", "did you mean 'gamma'"),
        (nn.Adam(), "epsilon", "it is eps"), (nn.data.StandardScaler(), "with_mean", "It has nan"),
    ):  # fmt: skip
        with pytest.raises(AttributeError, match=hint):
            setattr(instance, name, 3)


def test_user_defined_callbacks_may_have_any_attribute() -> None:
    class Log(nn.Callback):
        def on_train_begin(self, trainer: Any) -> None:
            self.rows: list[Any] = []

    log = Log()
    log.on_train_begin(None)
    assert log.rows == []


@EACH
def test_a_configuration_reconstructs_the_object(cls: type) -> None:
    instance = cls(**arguments(cls))
    if cls is so.ConditioningMonitor:  # made from data
        assert instance.config()["every"] == 1
        return
    of_objects = cls in (nn.regularizers.PerLayer, nn.data.Augment)
    config = dict(arguments(cls)) if of_objects else json.loads(json.dumps(instance.config()))
    if issubclass(cls, initializers.Initializer):
        again = initializers.get(config)
    elif cls is metrics.LossMetric:
        again = cls(losses.Huber(config["loss"]["delta"]))
    else:
        again = cls(**config)
    assert described(again) == described(instance)
    if issubclass(cls, (fields.Value, initializers.Initializer)):
        assert again == instance
        assert again != object()


@EACH
def test_copies_keep_everything(cls: type) -> None:
    instance = cls(**arguments(cls))
    for other in (copy.copy(instance), copy.deepcopy(instance), pickle.loads(pickle.dumps(instance))):
        assert type(other) is cls
        assert described(other) == described(instance)
        with pytest.raises(AttributeError):
            other.color = "red"


def test_equal_arguments_make_equal_values() -> None:
    assert nn.L2(0.1) == nn.L2(0.1) != nn.L2(0.2)
    assert nn.L1(0.1) != nn.L2(0.1)
    assert schedules.Warmup(0.4, 3) == schedules.Warmup(schedules.Constant(0.4), 3) != schedules.Warmup(0.5, 3)
    assert nn.Dense(3) != nn.Dense(3)
    assert nn.Adam() != nn.Adam()


class Net(nn.Sequential):
    """With a constructor of its own."""

    def __init__(self, width: int) -> None:
        super().__init__([nn.Dense(width), nn.Tanh(), nn.Dense(1)], input_shape=4, seed=3)
        self.width = width
        self.notes = [1]


def test_copies_of_a_subclass_of_sequential() -> None:
    net = Net(5)
    net.parameters[...] = 0.5
    copies = {
        "copy": net.copy(), "copy.copy": copy.copy(net), "deepcopy": copy.deepcopy(net), "astype": net.astype("float64"),
        "pickle": pickle.loads(pickle.dumps(net)),
    }  # fmt: skip
    for name, other in copies.items():
        assert type(other) is Net, name
        assert other.width == 5
        assert other.notes == [1]
        assert np.array_equal(other.parameters, net.parameters), name
        assert other.parameters is not net.parameters, name
        with pytest.raises(AttributeError, match="color"):
            other.color = "red"
    assert copies["deepcopy"].notes is not net.notes


def test_trainers_check_what_is_assigned() -> None:
    one = trainer("sgd")
    for name, value, error in (
        ("seed", -1, ValueError), ("seed", "1", TypeError), ("epochs_done", -1, ValueError), ("stop_training", "no", TypeError),
        ("interrupted", 1, TypeError), ("clip", 5.0, TypeError), ("loss", "square", ValueError), ("regularizer", 1, TypeError),
    ):  # fmt: skip
        before = getattr(one, name)
        with pytest.raises(error, match=rf"{name} must be"):
            setattr(one, name, value)
        assert getattr(one, name) is before


@pytest.mark.parametrize("name", ["shuffle", "exact_loss"])
@pytest.mark.parametrize("value", ["no", 1, None])
def test_flags_of_fit(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"{name} must be True or False, got {value!r}"):
        trainer("sgd").fit(X, y, **{name: value})


def test_landscapes_are_fixed() -> None:
    for f, name in ((landscapes.Rosenbrock(), "a"), (landscapes.Quadratic(), "condition"), (landscapes.Beale(), "start")):
        with pytest.raises(AttributeError, match=f"{name} is fixed once the landscape is made"):
            setattr(f, name, 3.0)


@EACH
def test_a_constructor_that_does_not_call_that_of_its_base(cls: type) -> None:
    def alone(self: Any) -> None:
        pass

    derived = type("Derived", (cls,), {"__init__": alone})
    names = [name for name, value in inspect.getmembers_static(cls) if isinstance(value, fields.Field)]
    if names:
        with pytest.raises(TypeError, match=rf"^Derived.__init__ must call super\(\).__init__\(\), which sets .*{names[0]}"):
            derived()
    elif not issubclass(cls, initializers.Initializer):
        assert isinstance(derived(), cls)


def l2_of_another_module() -> type[nn.Regularizer]:
    class L2(nn.Regularizer):
        l2 = 100.0

        def __init__(self, strength: float) -> None:
            self.strength = strength

    return L2


def test_values_that_hold_others_compare_them_as_objects() -> None:
    def square(y: Any, d: Any) -> Any:
        return ((y - d) ** 2).sum(axis=1), 2 * (y - d)

    def other(y: Any, d: Any) -> Any:
        return square(y, d)

    metric, PerLayer, L2 = metrics.LossMetric, nn.PerLayer, l2_of_another_module()
    assert metric(nn.PythonLoss(square)) == metric(nn.PythonLoss(square)) != metric(nn.PythonLoss(other))
    assert PerLayer({"a": L2(0.1)}) == PerLayer({"a": L2(0.1)}) != PerLayer({"a": l2_of_another_module()(0.1)})
    assert PerLayer({"a": L2(0.1)}) != PerLayer({"a": nn.L2(0.1)}) == PerLayer({"a": nn.L2(0.1)})
    assert (L2(0.1).entry()["class"], nn.L2(0.1).entry()["class"]) == ("custom.L2", "L2")


@pytest.mark.parametrize("wrap", [lambda penalty: penalty, lambda penalty: {"dense_1": penalty}])
def test_a_checkpoint_distinguishes_classes_of_one_name(wrap: Any) -> None:
    def trained(penalty: Any) -> nn.Trainer:
        return nn.Trainer(nn.Sequential([nn.Dense(3)], input_shape=4), "squared_error", regularizer=wrap(penalty))

    own, file = l2_of_another_module(), io.BytesIO()
    trained(nn.L2(0.1)).save(file)
    for penalty, message in ((own(0.1), r"must be custom\.L2, got L2"), (nn.L2(0.2), "strength must be 0.2, got 0.1")):
        file.seek(0)
        with pytest.raises(ValueError, match=f"another training: regularizer.*{message}"):
            trained(penalty).restore(file)
    file.seek(0)
    trained(nn.L2(0.1)).restore(file)
    file = io.BytesIO()
    trained(own(0.1)).save(file)
    file.seek(0)
    trained(own(0.1)).restore(file)


def test_a_wrapper_distinguishes_optimizers_of_one_name() -> None:
    own = type("SGD", (nn.SGD,), {})
    wrapper = nn.EMA(own(lr=0.1))
    wrapper.configure(nn.EMA(own(lr=0.2)).config())
    assert wrapper.lr == 0.2
    for optimizer, other in ((wrapper, nn.SGD()), (nn.EMA(nn.SGD()), own())):
        with pytest.raises(ValueError, match="optimizer must hold the arguments of SGD"):
            optimizer.configure(nn.EMA(other).config())
