"""What once went wrong in ensembles: members that differ in more than numbers, bags, files, long trainings."""

from __future__ import annotations

import copy
import io
import os
import signal
from typing import Any

import numpy as np
import pytest
from helpers.ensembles import same
from scipy.special import softmax

import nncore as nn
from nncore._utils import archive
from nncore.ensemble import fit as ensemble_fit
from nncore.ensemble.cohorts import Cohort

RNG = np.random.default_rng(0)
X = RNG.normal(size=(70, 4)).astype(np.float32)
Y = np.repeat([0, 1, 2], [50, 15, 5])[RNG.permutation(70)]
T = RNG.normal(size=(70, 2))
SOFTMAX = "softmax_cross_entropy"
MEMBERS = 3


def net(seed: int = 0, outputs: int = 3, *last: nn.Layer) -> nn.Sequential:
    return nn.Sequential([nn.Dense(6), nn.Tanh(), nn.Dense(outputs), *last], input_shape=4, seed=seed)


# Predictions of members that are not alike.


def test_probabilities_of_each_member() -> None:
    """Some end with softmax, some with logits."""
    models = [net(0), net(1, 3, nn.Softmax()), net(2)]
    found = nn.Ensemble(models).member_probabilities(X)
    for k, model in enumerate(models):
        outputs = model.predict(X).astype(np.float64)
        assert np.allclose(found[k], outputs if k == 1 else softmax(outputs, axis=-1), rtol=1e-6)
    assert np.array_equal(nn.Ensemble(models).vote(X), found.mean(axis=0).argmax(axis=1))


def scaled(seed: int) -> nn.Sequential:
    model = net(seed, 2)
    model.target_scaler = nn.data.StandardScaler().fit(np.array([[0.0, -1.0], [seed + 2.0, 5.0]]))
    return model


def test_evaluation_with_a_target_scaler_of_each() -> None:
    trainer = nn.Trainer(nn.Ensemble([scaled(0), scaled(1), scaled(2)]), "squared_error")
    mean = trainer.model.predict(X).astype(np.float64)
    first = trainer.model[0].target_scaler
    difference = first.transform(mean) - first.transform(T)
    assert trainer.evaluate(X, T)["loss"] == pytest.approx(0.5 * np.square(difference).sum(axis=1).mean(), rel=1e-5)
    trainer.fit(X, T, subsets=[np.arange(0, 60), np.arange(10, 70), np.arange(20, 70)], verbose=0)
    predicted = trainer.model.predict_members(X).astype(np.float64)
    unseen = np.array([np.arange(70) >= 60, np.arange(70) < 10, np.arange(70) < 20])
    covered = unseen.any(axis=0)
    mean = ((predicted * unseen[:, :, None]).sum(axis=0) / np.maximum(unseen.sum(axis=0), 1)[:, None])[covered]
    difference = first.transform(mean) - first.transform(T[covered])
    assert trainer.out_of_bag(X, T)["loss"] == pytest.approx(0.5 * np.square(difference).sum(axis=1).mean(), rel=1e-5)
    models = [net(0, 2), net(1, 2)]
    for model in models:
        model.target_scaler = nn.data.MinMaxScaler().fit(np.array([[0.0, 0.0], [1.0 + model.seed, 1.0]]))
    with pytest.raises(ValueError, match="members with several target scalers have no common probabilities"):
        nn.Trainer(nn.Ensemble(models), "sigmoid_cross_entropy").evaluate(X, RNG.uniform(size=(70, 2)))


@pytest.mark.parametrize("bagged", [False, True])
def test_evaluation_checks_its_data(bagged: bool) -> None:
    trainer = nn.Trainer(nn.Ensemble(net(), 2), SOFTMAX)
    trainer.fit(X, Y, subsets=nn.Bags() if bagged else None, verbose=0)
    evaluate = trainer.out_of_bag if bagged else trainer.evaluate
    with pytest.raises(ValueError, match="X and y must"):
        evaluate(X, Y[:-1])
    with pytest.raises(ValueError, match=r"sample_weight must have shape \(70,\)"):
        evaluate(X, Y, sample_weight=np.ones(71))
    with pytest.raises(ValueError, match="y must have shape"):
        evaluate(X, 3)


def test_accuracy_of_one_class_takes_the_values_of_the_training() -> None:
    """Targets -1 and 1: the threshold is 0 also where only one of them occurs."""
    trainer = nn.Trainer(nn.Ensemble(net(0, 1), 2), "squared_error", metrics=["accuracy"])
    trainer.fit(X, np.where(Y == 0, -1.0, 1.0), verbose=0)
    one = nn.Trainer(nn.Ensemble([trainer.model[0]]), "squared_error", metrics=["accuracy"])
    one.fit(X, np.where(Y == 0, -1.0, 1.0), verbose=0)
    alone = nn.Trainer(trainer.model[0].copy(), "squared_error", metrics=["accuracy"])
    alone.fit(X, np.where(Y == 0, -1.0, 1.0), verbose=0)
    assert one.evaluate(X, np.full(70, 1.0)) == pytest.approx(alone.evaluate(X, np.full(70, 1.0)), rel=1e-6)


# Subsets.


@pytest.mark.parametrize("sampler", [None, "importance_sampling", "stratified"])
@pytest.mark.parametrize("weights", [None, RNG.uniform(0.5, 2, 70)], ids=["plain", "weighted"])
def test_balanced_classes_are_those_of_the_subset(sampler: Any, weights: Any) -> None:
    """Also in lanes: without metrics, penalty and noise there are enough members for them."""
    members = 6
    rows = [np.random.default_rng(k).permutation(70)[:40] for k in range(members)]
    if sampler is None:
        rows = [own[np.random.default_rng(k).integers(0, 40, 40)] for k, own in enumerate(rows)]
    call: dict[str, Any] = {"epochs": 3, "batch_size": 16, "class_weight": "balanced", "sampler": sampler, "verbose": 0}
    together = nn.Trainer(nn.Ensemble(net(4), members), SOFTMAX, seed=9)
    together.fit(X, Y, subsets=rows, sample_weight=weights, **call)
    for k, own in enumerate(rows):
        alone = nn.Trainer(net(4 + k), SOFTMAX, seed=9 + k)
        alone.fit(X[own], Y[own], sample_weight=None if weights is None else weights[own], **call)
        assert same(alone, together, k)


def test_balanced_classes_of_a_split() -> None:
    """Subsets of the rows that a validation split leaves."""

    class Overlapping(nn.Subsets):
        def rows(self, member: int, examples: int) -> Any:
            return np.arange(*((10, 40) if member else (0, 20)))

    together = nn.Trainer(nn.Ensemble(net(4), 2), SOFTMAX, seed=9)
    together.fit(X, Y, validation_split=0.3, subsets=Overlapping(), class_weight="balanced", verbose=0)
    kept, held_back = nn.data.train_validation_split(X, Y, 0.3, seed=9)
    for k, own in enumerate((kept[:20], kept[10:40])):
        alone = nn.Trainer(net(4 + k), SOFTMAX, seed=9 + k)
        alone.fit(X[own], Y[own], validation_data=(X[held_back], Y[held_back]), class_weight="balanced", verbose=0)
        assert same(alone, together, k)


@pytest.mark.parametrize("rows", [[range(20), range(10, 40)], np.arange(70)[None] % 2 == [[0], [1]]], ids=["rows", "masks"])
def test_given_rows_of_a_split(rows: Any) -> None:
    """They would be rows of what the split leaves, not of the data. Those that are drawn are of any number of rows."""
    trainer = nn.Trainer(nn.Ensemble(net(), 2), SOFTMAX)
    with pytest.raises(ValueError, match="subsets given as rows and validation_split exclude each other, got both"):
        trainer.fit(X, Y, subsets=rows, validation_split=0.3, verbose=0)
    assert not len(trainer.history)
    trainer.fit(X, Y, subsets=rows, validation_data=(X, Y), verbose=0)
    trainer.fit(X, Y, subsets=nn.Bags(), validation_split=0.3, verbose=0)


def test_subsets_of_which_nothing_counts() -> None:
    trainer = nn.Trainer(nn.Ensemble(net(), 2), SOFTMAX)
    with pytest.raises(ValueError, match="must leave a positive weight among the rows of member 1"):
        trainer.fit(X, Y, sample_weight=np.arange(70) < 35, subsets=[range(70), range(40, 70)], verbose=0)


def test_subsets_are_read_once() -> None:
    """By members of several architectures."""
    trainer = nn.Trainer(nn.Ensemble([net(0), net(1, 3, nn.Tanh())]), SOFTMAX)
    trainer.fit(X, Y, subsets=(np.arange(10 * k, 70) for k in range(2)), verbose=0)
    assert [len(rows) for rows in trainer._subsets or ()] == [70, 60]


def test_subsets_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="folds must be at most 4, the number of rows, got 5"):
        nn.Folds(5).rows(0, 4)
    with pytest.raises(ValueError, match=r"share must give bags of fewer than 2\*\*31 rows, got 1e\+300 of 70 rows"):
        nn.Trainer(nn.Ensemble(net(), 2), SOFTMAX).fit(X, Y, subsets=nn.Bags(1e300), verbose=0)
    with pytest.raises(ValueError, match="Snapshots is for one model"):
        nn.Trainer(nn.Ensemble(net(), 2), SOFTMAX).fit(X, Y, callbacks=[nn.Snapshots(every=1)], verbose=0)


def test_a_refused_call_leaves_the_last_subsets() -> None:
    trainer = nn.Trainer(nn.Ensemble(net(), 2), SOFTMAX)
    trainer.fit(X, Y, subsets=nn.Bags(), verbose=0)
    before = trainer.out_of_bag(X, Y)
    with pytest.raises(ValueError, match="val_loss"):
        trainer.fit(X, Y, callbacks=[nn.EarlyStopping("val_loss")], subsets=nn.Bags(0.5), verbose=0)
    assert trainer.out_of_bag(X, Y) == before


# Callbacks.


def test_members_have_schedules_of_their_own() -> None:
    """A callback that changes that of one member leaves those of the others."""

    def change(member: Any, epoch: int, row: Any) -> None:
        if getattr(member, "number", 1) == 1:
            member.optimizer.lr.initial = 0.5

    def trainer(model: Any, seed: int) -> Any:
        return nn.Trainer(model, SOFTMAX, nn.SGD(nn.schedules.Exponential(0.1, 0.9)), seed=seed)

    callback = nn.LambdaCallback(on_epoch_end=change)
    together = trainer(nn.Ensemble(net(4), MEMBERS), 9)
    together.fit(X, Y, epochs=3, callbacks=[callback], verbose=0)
    for k in range(MEMBERS):
        alone = trainer(net(4 + k), 9 + k)
        alone.fit(X, Y, epochs=3, callbacks=[callback] if k == 1 else [], verbose=0)
        assert same(alone, together, k)


def test_what_a_callback_cannot_assign() -> None:
    def assign(member: Any, epoch: int, row: Any) -> None:
        for name in ("loss", "regularizer", "seed", "model", "anything"):
            with pytest.raises(AttributeError, match=f"{name} of a member cannot be assigned, got 'l1'"):
                setattr(member, name, "l1")
        with pytest.raises(TypeError, match="stop_training must be True or False"):
            member.stop_training = 1
        with pytest.raises(AttributeError, match="frozen of layer batch_norm_1 is fixed"):
            member.model.layers[1].frozen = True
        member.loss.label_smoothing = 0.5  # of a copy

    model = nn.Sequential([nn.Dense(4), nn.BatchNorm(), nn.Dense(3)], input_shape=4)
    trainer = nn.Trainer(nn.Ensemble(model, 2), SOFTMAX)
    trainer.fit(X, Y, callbacks=[nn.LambdaCallback(on_epoch_end=assign)], verbose=0)
    assert trainer._kind_of[0].trainers[0].loss.label_smoothing == 0
    trainer.model[0].copy().layers[1].frozen = True


# Long trainings.

SAMPLERS: list[dict[str, Any]] = [{"sampler": "with_replacement"}, {"last_batch": "drop"}, {"sampler": "importance_sampling"}]


@pytest.mark.parametrize("call", SAMPLERS, ids=str)
def test_orders_take_little_memory(call: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Portions of members, which make no difference; each has at least one for each thread."""
    made: list[int] = []
    positions = Cohort._positions

    def spied(self: Cohort, active: Any, epochs: int, first: Any) -> Any:
        found = positions(self, active, epochs, first)
        made.append(sum(own.size for own in found))
        return found

    def trained() -> nn.EnsembleTrainer:
        trainer = nn.Trainer(nn.Ensemble(net(4), 7), SOFTMAX)
        trainer.fit(X, Y, epochs=6, batch_size=16, verbose=0, **call)
        return trainer

    monkeypatch.setattr(Cohort, "_positions", spied)
    nn.set_num_threads(2)
    whole, most = trained(), max(made)
    made.clear()
    monkeypatch.setattr(ensemble_fit, "MOST_ORDERED", 210)
    other = trained()
    assert max(made) <= 210 < most
    assert np.array_equal(whole.model.groups[0].parameters, other.model.groups[0].parameters)
    assert all(whole.history.member(k) == other.history.member(k) for k in range(7))
    made.clear()
    monkeypatch.setattr(ensemble_fit, "MOST_ORDERED", 1)
    assert np.array_equal(trained().model.groups[0].parameters, other.model.groups[0].parameters)
    assert max(made) <= 140


def test_ctrl_c_between_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Members that have not begun the round are as before it, and go on from there."""
    monkeypatch.setattr(ensemble_fit, "MOST_ORDERED", 1)
    nn.set_num_threads(2)
    run, calls = ensemble_fit.EnsembleCall._run, []

    def interrupted(self: Any, *args: Any) -> Any:
        calls.append(args)
        found = run(self, *args)
        if len(calls) == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return found

    monkeypatch.setattr(ensemble_fit.EnsembleCall, "_run", interrupted)
    optimizer = nn.Adam(lr=nn.schedules.Exponential(0.1, 0.9))
    trainer = nn.Trainer(nn.Ensemble(net(4), 7), SOFTMAX, optimizer)
    trainer.fit(X, Y, epochs=6, sampler="with_replacement", verbose=0)
    assert list(trainer.history.epochs) == [2, 2, 1, 1, 1, 1, 1]  # four portions in an epoch
    assert trainer.interrupted
    trainer.fit(X, Y, epochs=2, sampler="with_replacement", verbose=0)
    for k in range(7):
        alone = nn.Trainer(net(4 + k), SOFTMAX, nn.Adam(lr=nn.schedules.Exponential(0.1, 0.9)), seed=k)
        alone.fit(X, Y, epochs=4 - (k > 1), sampler="with_replacement", verbose=0)
        assert np.array_equal(alone.model.parameters, trainer.model[k].parameters)


def test_a_history_grows_in_linear_time() -> None:
    """Its arrays are copied some ten times in 2000 epochs, and never by reading the last values."""
    history = nn.EnsembleHistory(2)
    arrays = set()
    kept = []
    for epoch in range(2000):
        history.extend(np.arange(2), {"loss": np.array([[epoch], [-epoch]], dtype=np.float64)}, np.ones(2, dtype=np.int64))
        history.amend(1, {"more": 2.0 * epoch})
        assert history.last("loss").tolist() == [epoch, -epoch]
        assert np.isnan(history.last("more")[0])
        kept.append(history._table["loss"])  # so that its address is not used again
        arrays.add(id(kept[-1]))
    assert len(arrays) < 30
    assert history["more"][7].tolist()[1] == 14
    assert history.member(0).columns == ["loss"]
    assert history.member(1).columns == ["loss", "more"]


def test_the_history_of_a_member_is_that_of_it_alone() -> None:
    """The order of its columns, and columns of NaN."""

    def add(member: Any, epoch: int, row: dict[str, Any]) -> None:
        row["unknown"] = np.nan
        if epoch == 2 and getattr(member, "seed", 0) != 1:
            row["late"] = 1.0

    def trainer(model: Any, seed: int, metrics: Any) -> Any:
        return nn.Trainer(model, "squared_error", metrics=metrics, seed=seed)

    metrics = [["mean_absolute_error"], ["huber", "mean_absolute_error"], []]
    callbacks = [nn.LambdaCallback(on_epoch_end=add)]
    together = trainer(nn.Ensemble(net(0, 2), MEMBERS), 0, nn.Each(metrics))
    together.fit(X, T, epochs=3, callbacks=callbacks, verbose=0)
    together.fit(X, T, epochs=1, validation_data=(X, T), verbose=0)
    for k in range(MEMBERS):
        alone = trainer(net(k, 2), k, metrics[k])
        alone.fit(X, T, epochs=3, callbacks=callbacks, verbose=0)
        alone.fit(X, T, epochs=1, validation_data=(X, T), verbose=0)
        assert same(alone, together, k)
    file = io.BytesIO()
    together.save(file)
    other = trainer(nn.Ensemble(net(0, 2), MEMBERS), 0, nn.Each(metrics))
    other.restore(io.BytesIO(file.getvalue()))
    for k in range(MEMBERS):
        assert other.history.member(k) == together.history.member(k)


# Checkpoints.


def bagged() -> nn.EnsembleTrainer:
    return nn.Trainer(nn.Ensemble(net(3), MEMBERS), SOFTMAX, metrics=["accuracy"])


def saved(trainer: nn.EnsembleTrainer) -> bytes:
    file = io.BytesIO()
    trainer.save(file)
    return file.getvalue()


def test_checkpoints_have_the_subsets() -> None:
    first, second, third = bagged(), bagged(), bagged()
    first.fit(X, Y, subsets=nn.Bags(seed=1), verbose=0)
    second.fit(X, Y, subsets=nn.Bags(seed=2), verbose=0)
    third.fit(X, Y, verbose=0)
    second.restore(io.BytesIO(saved(first)))
    assert second.out_of_bag(X, Y) == first.out_of_bag(X, Y)
    second.restore(io.BytesIO(saved(third)))
    with pytest.raises(ValueError, match="out_of_bag needs members trained on subsets"):
        second.out_of_bag(X, Y)


def test_checkpoints_of_other_layers_are_refused() -> None:
    def make(activation: nn.Layer) -> nn.EnsembleTrainer:
        return nn.Trainer(nn.Ensemble(nn.Sequential([nn.Dense(3), activation], input_shape=4), 2), SOFTMAX)

    with pytest.raises(ValueError, match=r"layers\[1\] must be Tanh, got ReLU"):
        make(nn.Tanh()).restore(io.BytesIO(saved(make(nn.ReLU()))))


def test_checkpoints_have_the_scalers() -> None:
    def make(shift: float) -> nn.EnsembleTrainer:
        model = net(1, 2)
        model.target_scaler = nn.data.StandardScaler().fit(T + shift)
        return nn.Trainer(nn.Ensemble(model, 2), "squared_error")

    first, second = make(0.0), make(5.0)
    second.model[0].predict(X)
    second.restore(io.BytesIO(saved(first)))
    assert np.array_equal(second.model.predict_members(X), first.model.predict_members(X))
    assert np.array_equal(second.model[0].predict(X), first.model[0].predict(X))
    assert second.evaluate_members(X, T)["loss"].tolist() == first.evaluate_members(X, T)["loss"].tolist()


HOSTILE: dict[str, Any] = {
    "columns": ["ab", None, 3, ["loss"], [["loss"], ["lr"], ["accuracy"]], [{}, {}, {}], ["lr"] * 3, [1, 2, 3], {"a": 1}],
    "columns_of": [None, [[0], [1]], [[0], [1], [3]], [[0], [-1], [0]], [[0], ["lr"], [0]], [0, 1, 2], "012"],
    "epochs": [None, [2, 2], [2, 2, -1], [2, 2, 10**30], ["2", "2", "x"], [[2], [2], [2]], {"0": 2}],
    "kept": [None, [2, 2], [2, 2, 3], [2, 2, -1], ["2", "2", "x"], 2],
    "ended": [None, ["", ""], ["", "", 3], "abcd"],
    "losses_of": [None, {"7": 0}, {"0": "x"}, {"x": 0}, {"0": -1}, [0]],
    "levels": [None, [], [1], [[1, 0, True]], [["a", "b", False]], 3],
    "optimizer_of": [None, [0, 0], [0, 0, 7], ["a", 0, 0]], "seed": [None, -1, "x"], "groups": [None, [], [1]],
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_descriptions(name: str) -> None:
    """They are refused before anything has changed."""
    made = bagged()
    made.fit(X, Y, epochs=2, verbose=0)
    arrays, about = archive.read(io.BytesIO(saved(made)))
    fresh = bagged()
    fresh.fit(X, Y, verbose=0)
    before, history = fresh.model.groups[0].parameters.copy(), copy.deepcopy(fresh.history)
    for value in HOSTILE[name]:
        file = archive.pack("file", arrays, about | {name: value})
        with pytest.raises(ValueError, match=r"is damaged, or of another ensemble|holds no ensemble that can be built"):
            fresh.restore(io.BytesIO(file))
        assert np.array_equal(fresh.model.groups[0].parameters, before)
        assert fresh.history.member(0) == history.member(0)
        assert repr(fresh.history) == repr(history)


@pytest.mark.parametrize(
    "rows", [np.array([-1]), np.array([0.5]), np.zeros((2, 2), dtype=np.int64), np.empty(0, dtype=np.int64)]
)
def test_hostile_subsets(rows: Any) -> None:
    made = bagged()
    made.fit(X, Y, subsets=nn.Bags(), verbose=0)
    arrays, about = archive.read(io.BytesIO(saved(made)))
    with pytest.raises(ValueError, match="subsets must be row numbers"):
        bagged().restore(io.BytesIO(archive.pack("file", arrays | {"subsets.1": rows}, about)))
    del arrays["subsets.1"]
    with pytest.raises(ValueError, match="there must be a subset of each of 3 members, got 2"):
        bagged().restore(io.BytesIO(archive.pack("file", arrays, about)))


# Names of columns.


def test_names_of_columns_are_those_of_the_training() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    trainer = nn.Trainer(nn.Ensemble(net(), 2), SOFTMAX)
    trainer.model[0].predict(X)
    trainer.fit(frame, Y, subsets=[range(70), range(60)], verbose=0)
    loaded = nn.Ensemble.load(io.BytesIO(saved(trainer)))
    for act in (
        trainer.model.predict, trainer.model[0].predict, trainer.model[1].predict, loaded.predict,
        lambda given: trainer.evaluate_members(given, Y), lambda given: trainer.fit(given, Y, verbose=0),
    ):  # fmt: skip
        act(frame)
        with pytest.raises(ValueError, match="The feature names of X should match"):
            act(frame[list("bacd")])


def test_members_with_other_names_of_columns_are_not_alike() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    models = [net(0), net(1)]
    models[1].feature_names = tuple("dcba")
    ensemble = nn.Ensemble(models)
    assert [member.feature_names for member in ensemble] == [None, tuple("dcba")]
    for call in (ensemble.predict, lambda frame: nn.Trainer(ensemble, SOFTMAX).fit(frame, Y, verbose=0)):
        with pytest.raises(ValueError, match="Expected 'd' as column 0, got 'a'"):
            call(frame)
    targets = [net(0, 2), net(1, 2)]
    targets[1].target_names = ("u", "v")
    assert [member.target_names for member in nn.Ensemble(targets)] == [None, ("u", "v")]


def test_scalers_of_members_are_fixed() -> None:
    scaler, ensemble = nn.data.StandardScaler().fit(X), nn.Ensemble(net(0, 4), 2)
    for name in ("input_scaler", "target_scaler"):
        with pytest.raises(AttributeError, match=f"{name} of a member is fixed once it is in an ensemble"):
            setattr(ensemble[1], name, scaler)
        for model in (ensemble[1].copy(), copy.deepcopy(ensemble[1]), ensemble.groups[0].template.copy()):
            setattr(model, name, scaler)
            assert getattr(ensemble[1], name) is None


def test_names_of_columns_are_those_of_all_members() -> None:
    """However they become known: assigned to one, by the training of one alone, or by another trainer."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcd"))

    def assign(ensemble: nn.Ensemble) -> None:
        ensemble[1].feature_names = tuple("abcd")

    def alone(ensemble: nn.Ensemble) -> None:
        nn.Trainer(ensemble[1], SOFTMAX).fit(frame, Y, verbose=0)

    def other(ensemble: nn.Ensemble) -> None:
        nn.Trainer(ensemble, SOFTMAX).fit(frame, Y, verbose=0)

    for learn in (assign, alone, other):
        ensemble = nn.Ensemble(net(), MEMBERS)
        trainer = nn.Trainer(ensemble, SOFTMAX)
        trainer.fit(X, Y, subsets=nn.Bags(), verbose=0)
        learn(ensemble)
        assert [member.feature_names for member in ensemble] == [tuple("abcd")] * MEMBERS
        calls: list[Any] = [trainer.evaluate, trainer.evaluate_members, trainer.out_of_bag]
        for call in (*calls, lambda X, y, t=trainer: t.fit(X, y, verbose=0), lambda X, y, e=ensemble: e.predict(X)):
            with pytest.raises(ValueError, match="Expected 'a' as column 0, got 'd'"):
                call(frame[list("dcba")], Y)


def test_factors_and_constraints_of_another_trainer() -> None:
    """They are read-only mappings there."""
    model = nn.Sequential([nn.Dense(3)], input_shape=4)
    parts: dict[str, Any] = {"lr_factors": {"dense_1": 0.5}, "decay_factors": {}, "constraint": {"dense_1": nn.MaxNorm(1.0)}}
    one = nn.Trainer(model, "softmax_cross_entropy", **parts)
    together = nn.Trainer(
        nn.Ensemble(model, 2), "softmax_cross_entropy",
        lr_factors=one.lr_factors, decay_factors=one.decay_factors, constraint=one.constraint,
    )  # fmt: skip
    twin = nn.Trainer(nn.Ensemble(model, 2), "softmax_cross_entropy", **parts)
    for trainer in (together, twin):
        trainer.fit(X, Y, verbose=0)
    assert np.array_equal(together.model[1].parameters, twin.model[1].parameters)


# What is left after an error.


def two_kinds() -> nn.EnsembleTrainer:
    """Members of two architectures, which are recorded one after the other."""
    wide = nn.Sequential([nn.Dense(9), nn.Tanh(), nn.Dense(3)], input_shape=4, seed=1)
    return nn.Trainer(nn.Ensemble([net(0), wide]), SOFTMAX, seed=5)  # type: ignore[return-value]


def assert_like_one_that_went_on(trainer: nn.EnsembleTrainer, epochs: int) -> None:
    straight = two_kinds()
    straight.fit(X, Y, epochs=epochs, verbose=0)
    assert trainer.history.epochs.tolist() == [epochs, epochs]
    for own, other in zip(trainer.model.groups, straight.model.groups, strict=True):
        assert np.array_equal(own.parameters, other.parameters)


def test_a_checkpoint_within_a_callback_has_all_members_at_the_same_epoch() -> None:
    trainer, file = two_kinds(), io.BytesIO()

    def save(member: Any, epoch: int, row: Any) -> None:
        if (member.number, epoch) == (0, 2):
            trainer.save(file)

    trainer.fit(X, Y, epochs=4, callbacks=[nn.LambdaCallback(on_epoch_end=save)], verbose=0)
    restored = two_kinds()
    restored.restore(io.BytesIO(file.getvalue()))
    assert restored.history.epochs.tolist() == [2, 2]
    restored.fit(X, Y, epochs=2, verbose=0)
    assert_like_one_that_went_on(restored, 4)


def test_a_callback_that_raises_leaves_all_members_at_the_same_epoch() -> None:
    trainer = two_kinds()

    def fail(member: Any, epoch: int, row: Any) -> None:
        if epoch == 2:
            raise KeyError("why")

    with pytest.raises(KeyError, match="why"):
        trainer.fit(X, Y, epochs=4, callbacks=[nn.LambdaCallback(on_epoch_end=fail)], verbose=0)
    trainer.fit(X, Y, epochs=2, verbose=0)
    assert_like_one_that_went_on(trainer, 4)


def test_restoring_within_a_callback_is_refused() -> None:
    trainer, file = two_kinds(), io.BytesIO()
    trainer.save(file)
    again = nn.LambdaCallback(on_epoch_end=lambda *_: trainer.restore(io.BytesIO(file.getvalue())))
    with pytest.raises(RuntimeError, match="this trainer is training already"):
        trainer.fit(X, Y, epochs=2, callbacks=[again], verbose=0)
    trainer.fit(X, Y, epochs=1, verbose=0)
    assert_like_one_that_went_on(trainer, 2)


def test_a_member_that_is_stopped_before_it_begins() -> None:
    """As alone: no epoch."""

    def stop(member: Any) -> None:
        member.stop_training = getattr(member, "seed", 0) == 6

    trainer = two_kinds()
    trainer.fit(X, Y, epochs=3, callbacks=[nn.LambdaCallback(on_train_begin=stop)], verbose=0)
    assert trainer.history.epochs.tolist() == [3, 0]
    assert trainer.history.ended == ["finished", "stopped"]


@pytest.mark.parametrize(("added", "message"), [({"a": "1"}, "column 'a' must be a number"), ({3: 1.0}, "column names must")])
def test_what_callbacks_add_to_a_row_is_checked(added: dict[Any, Any], message: str) -> None:
    trainer = two_kinds()
    with pytest.raises(TypeError, match=message):
        trainer.fit(X, Y, callbacks=[nn.LambdaCallback(on_epoch_end=lambda m, e, row: row.update(added))], verbose=0)
    assert list(trainer.history) == ["running_loss", "lr"]


def test_a_signal_handler_that_raises_leaves_whole_epochs() -> None:
    """As a limit of time by SIGALRM: the epochs until then count, for histories and optimizers."""

    def late(*_: Any) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    trainer = nn.Trainer(nn.Ensemble(net(0), 5), SOFTMAX, seed=5)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(TimeoutError):
            trainer.fit(X, Y, epochs=10_000_000, batch_size=35, verbose=0)
    finally:
        signal.signal(signal.SIGALRM, before)
    done = trainer.history.epochs.tolist()
    assert max(done) > 0
    assert trainer.history.ended == ["interrupted"] * 5
    for k, epochs in enumerate(done):
        alone = nn.Trainer(net(k), SOFTMAX, seed=5 + k)
        alone.fit(X, Y, epochs=epochs, batch_size=35, verbose=0) if epochs else None
        assert same(alone, trainer, k)
        assert trainer._optimizers[k].step_count == 2 * epochs


class Fragile(nn.Layer):
    """Raises in the passes ``at``, of all members together."""

    at: frozenset[int] = frozenset()
    passes = 0

    def forward(self, x: Any, training: bool) -> Any:
        Fragile.passes += 1
        if Fragile.passes in Fragile.at:
            raise ZeroDivisionError(Fragile.passes)
        return 2 * x

    def backward(self, dy: Any) -> Any:
        return 2 * dy


def fragile(seed: int) -> nn.Sequential:
    return nn.Sequential([nn.Dense(6), Fragile(), nn.Tanh(), nn.Dense(3)], input_shape=4, seed=seed)


def test_an_error_of_a_layer_leaves_the_steps_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Member 0 takes all of its six steps, member 1 one; its second one raises."""
    trainer = nn.Trainer(nn.Ensemble(fragile(0), 3), SOFTMAX, seed=5)
    monkeypatch.setattr(Fragile, "at", frozenset({8}))
    monkeypatch.setattr(Fragile, "passes", 0)
    with pytest.raises(ZeroDivisionError, match="8"):
        trainer.fit(X, Y, epochs=3, batch_size=35, verbose=0)
    monkeypatch.setattr(Fragile, "at", frozenset())
    assert [own.step_count for own in trainer._optimizers[:2]] == [6, 1]
    assert trainer.history.epochs.tolist()[:2] == [3, 0]
    alone = nn.Trainer(fragile(0), SOFTMAX, seed=5)
    alone.fit(X, Y, epochs=3, batch_size=35, verbose=0)
    assert same(alone, trainer, 0)


def test_an_error_is_raised_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where members of two kinds have raised: the second error is not left for the next call."""
    other = nn.Sequential([nn.Dense(3), Fragile(), nn.Tanh(), nn.Dense(3)], input_shape=4, seed=1)
    trainer = nn.Trainer(nn.Ensemble([fragile(0), other]), SOFTMAX)
    monkeypatch.setattr(Fragile, "at", frozenset(range(1, 3)))
    monkeypatch.setattr(Fragile, "passes", 0)
    with pytest.raises(ZeroDivisionError):
        trainer.fit(X, Y, batch_size=35, verbose=0)
    trainer.fit(X, Y, batch_size=35, verbose=0)


def test_an_error_of_an_evaluation_leaves_whole_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The epoch of each member counts, without the evaluation, as after Ctrl-C."""
    trainer = nn.Trainer(nn.Ensemble(fragile(0), 2), SOFTMAX, seed=5)
    monkeypatch.setattr(Fragile, "at", frozenset({5}))  # two steps of each member, then the first evaluation
    monkeypatch.setattr(Fragile, "passes", 0)
    with pytest.raises(ZeroDivisionError):
        trainer.fit(X, Y, epochs=2, batch_size=35, validation_data=(X, Y), verbose=0)
    monkeypatch.setattr(Fragile, "at", frozenset())
    assert trainer.history.epochs.tolist() == [1, 1]
    for k in range(2):
        alone = nn.Trainer(fragile(k), SOFTMAX, seed=5 + k)
        alone.fit(X, Y, batch_size=35, verbose=0)
        assert same(alone, trainer, k)
