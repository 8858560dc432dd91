"""Ensembles: what they predict, files, and what happens when something fails."""

from __future__ import annotations

import copy
import io
import os
import pickle
import re
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, softmax

import nncore as nn

RNG = np.random.default_rng(0)
X = RNG.normal(size=(70, 4)).astype(np.float32)
Y = RNG.integers(0, 3, 70)
SOFTMAX = "softmax_cross_entropy"


def net(seed: int = 0, outputs: int = 3, *last: nn.Layer, dtype: str = "float32") -> nn.Sequential:
    return nn.Sequential([nn.Dense(6), nn.Tanh(), nn.Dense(outputs), *last], input_shape=4, seed=seed, dtype=dtype)


def wider(seed: int) -> nn.Sequential:
    return nn.Sequential([nn.Dense(9), nn.ReLU(), nn.Dense(3)], input_shape=4, seed=seed)


def trained(members: int = 4, epochs: int = 2, **kw: Any) -> nn.EnsembleTrainer:
    trainer = nn.Trainer(nn.Ensemble(net(3), members), SOFTMAX, nn.Adam(lr=0.05), metrics=["accuracy"])
    trainer.fit(X, Y, epochs=epochs, verbose=0, **kw)
    return trainer


# Predictions.


def test_members_predict_as_alone() -> None:
    ensemble = nn.Ensemble([net(seed) for seed in (5, 2, 9)])
    for rows in (0, 1, 2, 70):
        together = ensemble.predict_members(X[:rows])
        assert together.shape == (3, rows, 3)
        for k, seed in enumerate((5, 2, 9)):
            assert np.array_equal(together[k], net(seed).predict(X[:rows]))
    assert np.allclose(ensemble.predict(X), together.mean(axis=0), rtol=1e-6)
    assert np.allclose(ensemble.spread(X), together.std(axis=0), rtol=1e-5)


@pytest.mark.parametrize("last", [(), (nn.Softmax(),)], ids=["logits", "probabilities"])
def test_voting(last: Any) -> None:
    ensemble = nn.Ensemble(net(1, 3, *copy.deepcopy(last)), 7)
    outputs = ensemble.predict_members(X).astype(np.float64)
    probabilities = outputs if last else softmax(outputs, axis=-1)
    assert np.allclose(ensemble.probabilities(X), probabilities.mean(axis=0), rtol=1e-6)
    assert np.array_equal(ensemble.vote(X), probabilities.mean(axis=0).argmax(axis=1))
    hard = [np.bincount(votes, minlength=3).argmax() for votes in probabilities.argmax(axis=-1).T]
    assert np.array_equal(ensemble.vote(X, "hard"), hard)
    assert not np.array_equal(hard, ensemble.vote(X))  # or the test could not tell them apart


def test_voting_with_one_output() -> None:
    ensemble = nn.Ensemble(net(1, 1), 5)
    probabilities = expit(ensemble.predict_members(X).astype(np.float64))
    assert np.allclose(ensemble.probabilities(X), probabilities.mean(axis=0), rtol=1e-6)
    assert np.array_equal(ensemble.vote(X), probabilities.mean(axis=0)[:, 0] > 0.5)
    assert np.array_equal(ensemble.vote(X, "hard"), (probabilities[:, :, 0] > 0.5).sum(axis=0) > 2.5)
    with pytest.raises(ValueError, match="how must be 'soft' or 'hard', got 'loud'"):
        ensemble.vote(X, "loud")


def test_evaluation() -> None:
    trainer = trained()
    found = trainer.evaluate_members(X, Y)
    for k, member in enumerate(trainer.model):
        alone = nn.Trainer(member, SOFTMAX, metrics=["accuracy"]).evaluate(X, Y)
        assert {name: values[k] for name, values in found.items()} == alone
    mean = softmax(trainer.model.predict_members(X).astype(np.float64), axis=-1).mean(axis=0)
    together = trainer.evaluate(X, Y)
    assert together["loss"] == pytest.approx(-np.log(mean[np.arange(70), Y]).mean(), rel=1e-6)
    assert together["accuracy"] == (mean.argmax(axis=1) == Y).mean()
    weights = RNG.uniform(size=70)
    weighted = (weights * -np.log(mean[np.arange(70), Y])).mean()
    assert trainer.evaluate(X, Y, sample_weight=weights)["loss"] == pytest.approx(weighted, rel=1e-6)


def test_evaluation_of_a_regression() -> None:
    trainer = nn.Trainer(nn.Ensemble(net(0, 2), 3), "squared_error")
    targets = RNG.normal(size=(70, 2))
    mean = trainer.model.predict_members(X).astype(np.float64).mean(axis=0)
    assert trainer.evaluate(X, targets)["loss"] == pytest.approx(0.5 * np.square(mean - targets).sum(axis=1).mean(), rel=1e-6)


def test_out_of_bag() -> None:
    bags = nn.Bags(seed=2)
    trainer = trained(5, subsets=bags)
    probabilities = softmax(trainer.model.predict_members(X).astype(np.float64), axis=-1)
    unseen = np.array([~np.isin(np.arange(70), bags.rows(k, 70)) for k in range(5)])
    covered = unseen.any(axis=0)
    mean = np.array([probabilities[unseen[:, i], i].mean(axis=0) for i in np.flatnonzero(covered)])
    found = trainer.out_of_bag(X, Y)
    assert found["covered"] == covered.mean()
    assert 0 < found["covered"] < 1
    assert found["accuracy"] == (mean.argmax(axis=1) == Y[covered]).mean()
    assert found["loss"] == pytest.approx(-np.log(mean[np.arange(covered.sum()), Y[covered]]).mean(), rel=1e-6)
    with pytest.raises(ValueError, match="out_of_bag needs members trained on subsets"):
        trained().out_of_bag(X, Y)


def test_scaled_models() -> None:
    scaler = nn.data.StandardScaler()
    scaler.fit(3 * X + 1)
    model = net(2, 2)
    model.input_scaler, model.target_scaler = scaler, nn.data.StandardScaler().fit(np.array([[0.0, 10.0], [2.0, 30.0]]))
    ensemble = nn.Ensemble(model, 3)
    alone = model.copy()
    assert np.array_equal(ensemble.predict_members(3 * X + 1)[0], alone.predict(3 * X + 1))
    trainer, targets = nn.Trainer(ensemble, "squared_error", seed=4), RNG.normal(size=(70, 2)) + np.array([1, 20])
    trainer.fit(3 * X + 1, targets, epochs=2, verbose=0)
    nn.Trainer(alone, "squared_error", seed=4).fit(3 * X + 1, targets, epochs=2, verbose=0)
    assert np.array_equal(ensemble[0].parameters, alone.parameters)


# Members, copies, files.


def test_members_are_views() -> None:
    ensemble = nn.Ensemble(net(3), 3)
    ensemble[1].layers[0].weight[...] = 0.5
    ensemble[1].layers[0].bias[...] = 0
    assert np.array_equal(ensemble.predict_members(X)[1], ensemble[1].predict(X))
    assert (ensemble.groups[0].parameters[1, :24] == 0.5).all()
    assert ensemble[-1] is ensemble[2]
    assert [member.seed for member in ensemble] == [3, 4, 5] == list(ensemble.seeds)
    ensemble[1].check_gradients(X, Y, SOFTMAX)
    with pytest.raises(IndexError, match="there is no member 3: there are 3"):
        ensemble[3]
    with pytest.raises(TypeError, match="a member is given by its number, got 'a'"):
        ensemble["a"]  # type: ignore[index]
    part = ensemble.take([2, 0])
    assert np.array_equal(part.predict_members(X), ensemble.predict_members(X)[[2, 0]])
    ensemble.initialize()
    assert np.array_equal(ensemble.predict_members(X)[1], net(4).predict(X))


@pytest.mark.parametrize("way", [copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))], ids=["copy", "pickle"])
def test_copies_of_a_training_continue(way: Any) -> None:
    straight, half = trained(epochs=4), trained(epochs=2)
    other = way(half)
    other.fit(X, Y, epochs=2, verbose=0)
    assert np.array_equal(other.model.groups[0].parameters, straight.model.groups[0].parameters)
    assert all(other.history.member(k) == straight.history.member(k) for k in range(4))
    assert len(half.history) == 2


def test_checkpoints(tmp_path: Path) -> None:
    def make() -> nn.EnsembleTrainer:
        models = [net(1), nn.Sequential([nn.Dense(3), nn.BatchNorm(), nn.Dense(3)], input_shape=4), net(2)]
        optimizers = [nn.Adam(lr=nn.schedules.Cosine(0.1, 100)), nn.EMA(nn.SGD(0.1)), nn.Rprop()]
        return nn.Trainer(nn.Ensemble(models), SOFTMAX, nn.Each(optimizers), metrics=["accuracy"], seed=3)

    straight, first, second = make(), make(), make()
    call: dict[str, Any] = {"batch_size": 70, "verbose": 0}
    straight.fit(X, Y, epochs=5, **call)
    first.fit(X, Y, epochs=2, **call)
    first.save(tmp_path / "part")
    second.fit(X, Y, epochs=1, **call)  # which is forgotten
    second.restore(tmp_path / "part")
    second.fit(X, Y, epochs=3, **call)
    for k in range(3):
        assert np.array_equal(straight.model[k].parameters, second.model[k].parameters)
        assert np.array_equal(straight.model[k].state, second.model[k].state)
        assert straight.history.member(k) == second.history.member(k)
    loaded = nn.Ensemble.load(tmp_path / "part")
    assert np.array_equal(loaded.predict_members(X), first.model.predict_members(X))
    with pytest.raises(ValueError, match="holds another training"):
        trained().restore(tmp_path / "part")
    with pytest.raises(ValueError, match="must be a checkpoint written by"):
        nn.Trainer(net(1), SOFTMAX).restore(tmp_path / "part")


def test_files(tmp_path: Path) -> None:
    models = [net(1), nn.Sequential([nn.Dense(3), nn.BatchNorm(), nn.Dropout(0.5), nn.Dense(3)], input_shape=4), net(7)]
    ensemble = nn.Ensemble(models)
    ensemble.save(tmp_path / "net")
    other = nn.Ensemble.load(tmp_path / "net")
    assert np.array_equal(other.predict_members(X), ensemble.predict_members(X))
    assert other.seeds == ensemble.seeds == (1, 0, 7)
    with pytest.raises(ValueError, match=r"holds an ensemble: read it with nn\.Ensemble\.load"):
        nn.load(tmp_path / "net")
    net().save(tmp_path / "one")
    with pytest.raises(ValueError, match="must be a file of kind ensemble, got one of kind 'model'"):
        nn.Ensemble.load(tmp_path / "one")
    ensemble[1].parameters[0] = np.inf
    with pytest.raises(ValueError, match="parameters must be finite"):
        ensemble.save(tmp_path / "bad")
    assert not (tmp_path / "bad").exists()


def test_damaged_files() -> None:
    """Any byte may be wrong: a file is read or refused with ValueError."""
    file = io.BytesIO()
    trained(2, epochs=1).save(file)
    whole = file.getvalue()
    for place in RNG.integers(0, len(whole), 150):
        broken = bytearray(whole)
        broken[place] ^= 1 << int(RNG.integers(0, 8))
        fresh = trained(2, epochs=1)
        before = fresh.model.groups[0].parameters.copy()
        try:
            fresh.restore(io.BytesIO(bytes(broken)))
        except ValueError:
            assert np.array_equal(fresh.model.groups[0].parameters, before)
            assert len(fresh.history) == 1


def test_snapshots() -> None:
    snapshots = nn.Snapshots(every=2, skip=1)
    kept: list[Any] = []
    keep = nn.LambdaCallback(on_epoch_end=lambda trainer, epoch, row: kept.append(trainer.model.predict(X)))
    nn.Trainer(net(1), SOFTMAX).fit(X, Y, epochs=7, callbacks=[snapshots, keep], verbose=0)
    assert np.array_equal(snapshots.ensemble().predict_members(X), np.array(kept)[[2, 4, 6]])
    with pytest.raises(ValueError, match="there must be a snapshot"):
        nn.Snapshots(every=2).ensemble()


@pytest.mark.parametrize("within", [False, True])
def test_snapshots_go_on_after_a_checkpoint(within: bool, tmp_path: Path) -> None:
    """One written after ``fit``, or by `ModelCheckpoint` in a training that ends too late."""

    def start() -> nn.Trainer:
        return nn.Trainer(net(1), SOFTMAX, nn.Adam())

    path, through, before, after = tmp_path / "trainer", *(nn.Snapshots(every=2) for _ in range(3))
    start().fit(X, Y, epochs=7, callbacks=[through], verbose=0)
    first = start()
    first.fit(X, Y, epochs=4, callbacks=[before, nn.ModelCheckpoint(path)], verbose=0)
    if not within:
        first.save(path)
    second = start()
    second.restore(path)
    second.fit(X, Y, epochs=3, callbacks=[after], verbose=0)
    assert len(after.ensemble()) == 3
    assert np.array_equal(after.ensemble().predict_members(X), through.ensemble().predict_members(X))
    second.fit(X, Y, epochs=2, callbacks=[after], verbose=0)
    assert len(after.ensemble()) == 1


def test_history() -> None:
    history = trained(3, epochs=5).history
    assert history["running_loss"].shape == (5, 3)
    assert history.columns == ["running_loss", "running_accuracy", "lr"]
    assert [row["epochs"] for row in history.table()] == [5, 5, 5]
    last = history["running_loss"][-1]
    assert history.best("running_loss", 3) == np.argsort(last).tolist()
    assert history.best("running_accuracy") == [int(history["running_accuracy"][-1].argmax())]
    assert len(repr(history).splitlines()) == 4
    assert "<table>" in history._repr_html_()
    with pytest.raises(KeyError, match="no column 'val_loss'"):
        history["val_loss"]
    pandas = pytest.importorskip("pandas")
    assert isinstance(history.to_pandas(), pandas.DataFrame)


def test_plot(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    figure = trained(3, epochs=5).history.plot(tmp_path / "plot.png")
    (axes,) = figure.axes
    assert axes.get_title() == "running_loss of 3 members"
    assert len(axes.lines) == 4


def test_members_that_have_ended_count_in_the_plot() -> None:
    """Or the median would jump where one stops."""
    pytest.importorskip("matplotlib")
    history = nn.EnsembleHistory(3)
    history.extend(np.array([0]), {"val_loss": np.array([[9.0]])}, np.array([1]))
    history.extend(np.array([1, 2]), {"val_loss": np.array([[2.0, 1.5, 1.25], [8.0, 7.0, 6.0]])}, np.array([3, 3]))
    (axes,) = history.plot().axes
    assert axes.lines[-1].get_ydata().tolist() == [8.0, 7.0, 6.0]


@pytest.mark.parametrize("optimizer", [nn.EMA(nn.Adam(0.05), 0.9), nn.PolyakAveraging(nn.Nesterov(0.1), start=3)])
def test_averages(optimizer: Any) -> None:
    trainer = nn.Trainer(nn.Ensemble([net(3), net(4), wider(5)]), SOFTMAX, optimizer)
    assert isinstance(trainer, nn.EnsembleTrainer)
    with pytest.raises(ValueError, match="there are no averaged parameters before the first step"):
        trainer.use_averages()
    trainer.fit(X, Y, epochs=2, verbose=0)
    trainer.use_averages()
    for k, model in enumerate((net(3), net(4), wider(5))):
        alone = nn.Trainer(model, SOFTMAX, copy.deepcopy(optimizer), seed=k)
        alone.fit(X, Y, epochs=2, verbose=0)
        assert not np.array_equal(trainer.model[k].parameters, model.parameters)
        alone.use_averages()
        assert np.array_equal(trainer.model[k].parameters, model.parameters)


def test_averages_that_only_some_have() -> None:
    trainer = nn.EnsembleTrainer(nn.Ensemble(net(), 2), SOFTMAX, nn.Each([nn.EMA(nn.SGD(0.1)), nn.SGD(0.1)]))
    trainer.fit(X, Y, verbose=0)
    before = trainer.model.groups[0].parameters.copy()
    with pytest.raises(ValueError, match=r"optimizer must keep averages, such as .*, got SGD\(lr=0.1\) of member 1"):
        trainer.use_averages()
    assert np.array_equal(trainer.model.groups[0].parameters, before)


def test_its_text_is_short() -> None:
    trainer = nn.Trainer(nn.Ensemble(net(), 500), SOFTMAX, nn.SGD(nn.Each(np.linspace(0.1, 1, 500))))
    shape = r"EnsembleTrainer\(Ensemble\(500 members, .{,300}\), loss='softmax_cross_entropy', optimizer=SGD.{,200}\)"
    assert re.fullmatch(shape, repr(trainer))


def test_hints() -> None:
    ensemble = nn.Ensemble(net(), 2)
    for name, message in (("fit", "a trainer does this"), ("predict_proba", r"nn\.Ensemble has probabilities\(X\)")):
        with pytest.raises(AttributeError, match=f"Ensemble has no attribute '{name}': .*{message}"):
            getattr(ensemble, name)
    with pytest.raises(TypeError, match=r"got slice\(0, 1, None\): ensemble.take\(numbers\) has several"):
        ensemble[0:1]  # type: ignore[index]


def test_members_are_compared_by_what_they_are() -> None:
    """EarlyStopping puts back the best epoch: the history says which, and its values are those of the networks."""

    def make() -> Any:
        return nn.Trainer(nn.Ensemble(net(3), 4), SOFTMAX, nn.Adam(lr=nn.Each([0.3, 0.03, 0.1, 1.0])))

    trainer, held_out = make(), (X[:30], Y[:30])
    stopping = nn.EarlyStopping(patience=3)
    history = trainer.fit(X[30:], Y[30:], epochs=12, validation_data=held_out, callbacks=[stopping], verbose=0)
    losses = trainer.evaluate_members(*held_out)["loss"]
    assert np.array_equal(history.now("val_loss"), losses)
    assert not np.array_equal(history.last("val_loss"), losses)
    assert history.best("val_loss", 4) == np.argsort(losses).tolist()
    assert [row["kept"] for row in history.table()] == (np.nanargmin(history["val_loss"], axis=0) + 1).tolist()
    assert [row["val_loss"] for row in history.table()] == losses.tolist()
    trainer.save(file := io.BytesIO())
    (other := make()).restore(io.BytesIO(file.getvalue()))
    assert repr(other.history) == repr(history)
    stopping = nn.EarlyStopping(patience=3, restore_best=False)
    again = trainer.fit(X[30:], Y[30:], epochs=6, validation_data=held_out, callbacks=[stopping], verbose=0)
    assert np.array_equal(again.now("val_loss"), trainer.evaluate_members(*held_out)["loss"])
    assert np.array_equal(again.now("val_loss"), again.last("val_loss"))
    assert "kept" not in again.table()[0]


# What fails.


def test_some_members_diverge() -> None:
    rates = [0.01, 1e6, 0.02]
    trainer = nn.Trainer(nn.Ensemble(net(3), 3), "squared_error", nn.SGD(lr=nn.Each(rates)))
    targets = np.eye(3)[Y]
    with pytest.warns(UserWarning, match=r"the training of 1 of 3 members diverged \(1\): see history\.ended"):
        history = trainer.fit(X, targets, epochs=3, verbose=0)
    assert history.ended[0] == history.ended[2] == "finished"
    assert history.ended[1].startswith("diverged: in epoch 2, step 2 the loss is inf")
    assert list(history.epochs) == [3, 1, 3]
    assert np.isnan(history["running_loss"][1:, 1]).all()
    assert history.table()[1]["lr"] == 1e6
    for k in (0, 1, 2):
        alone = nn.Trainer(net(3 + k), "squared_error", nn.SGD(rates[k]), seed=k)
        try:
            alone.fit(X, targets, epochs=3, verbose=0)
        except nn.DivergenceError:
            assert k == 1
        assert np.array_equal(alone.model.parameters, trainer.model[k].parameters)  # the last finite ones


@pytest.mark.parametrize("regularizer", [None, nn.L2(1e-4)])
def test_a_step_that_diverges_is_not_called_a_penalty(regularizer: nn.Regularizer | None) -> None:
    """A member whose losses are finite ends for the same reason as alone, whether there is a penalty or not."""
    arguments = {"loss": "softmax_cross_entropy", "regularizer": regularizer}
    with pytest.raises(nn.DivergenceError, match="step of the optimizer is not finite"):
        nn.Trainer(net(3), optimizer=nn.SGD(lr=1e30), **arguments).fit(1e3 * X, Y, epochs=5, verbose=0)
    trainer = nn.Trainer(nn.Ensemble(net(3), 2), optimizer=nn.SGD(lr=nn.Each([0.01, 1e30])), **arguments)
    with pytest.warns(UserWarning, match="1 of 2 members diverged"):
        history = trainer.fit(1e3 * X, Y, epochs=5, verbose=0)
    assert history.ended[1].endswith("the step of the optimizer is not finite")


def test_all_members_diverge() -> None:
    trainer = nn.Trainer(nn.Ensemble(net(3), 2), "squared_error", nn.SGD(1e6))
    with pytest.raises(nn.DivergenceError, match="the training of all 2 members diverged"):
        trainer.fit(X, np.eye(3)[Y], epochs=3, verbose=0)
    assert np.isfinite(trainer.model.groups[0].parameters).all()


def test_a_schedule_that_ends_badly() -> None:
    """It is the end for one member, with the reason."""
    bad = nn.schedules.PiecewiseConstant([4], [0.1, -1.0])
    trainer = nn.Trainer(nn.Ensemble(net(3), 2), SOFTMAX, nn.SGD(lr=nn.Each([0.1, bad])))
    history = trainer.fit(X, Y, epochs=3, batch_size=35, callbacks=[nn.Callback()], verbose=0)
    assert list(history.epochs) == [3, 2]
    assert history.ended[0] == "finished"
    assert history.ended[1].startswith("raised ValueError: lr must be a finite number of at least 0, got -1")


class Broken(nn.Layer):
    """A user's layer that fails in its third pass."""

    passes = 0

    def forward(self, x: Any, training: bool) -> Any:
        Broken.passes += 1
        if Broken.passes == 3:
            raise RuntimeError("the third pass")
        return 2 * x

    def backward(self, dy: Any) -> Any:
        return 2 * dy


def test_layers_in_python() -> None:
    model = nn.Sequential([nn.Dense(4), Broken(), nn.Dense(3)], input_shape=4)
    trainer = nn.Trainer(nn.Ensemble(model, 3), SOFTMAX)
    Broken.passes = 0
    with pytest.raises(RuntimeError, match="the third pass"):
        trainer.fit(X, Y, epochs=2, batch_size=35, verbose=0)
    Broken.passes = 10
    fresh = nn.Trainer(nn.Ensemble(model, 3), SOFTMAX)
    fresh.fit(X, Y, epochs=2, batch_size=35, verbose=0)
    alone = nn.Trainer(nn.Sequential([nn.Dense(4), Broken(), nn.Dense(3)], input_shape=4, seed=2), SOFTMAX, seed=2)
    alone.fit(X, Y, epochs=2, batch_size=35, verbose=0)
    assert np.array_equal(alone.model.parameters, fresh.model[2].parameters)


def test_callbacks_that_raise() -> None:
    def fail(trainer: Any, epoch: int, row: Any) -> None:
        if trainer.number == 1 and epoch == 2:
            raise KeyError("why")

    ended: list[int] = []
    callbacks = [nn.LambdaCallback(on_epoch_end=fail, on_train_end=lambda trainer: ended.append(trainer.number))]
    trainer = nn.Trainer(nn.Ensemble(net(3), 3), SOFTMAX)
    with pytest.raises(KeyError, match="why"):
        trainer.fit(X, Y, epochs=3, callbacks=callbacks, verbose=0)
    assert ended == [0, 1, 2]
    assert list(trainer.history.epochs) == [2, 2, 2]
    trainer.fit(X, Y, epochs=1, verbose=0)


def test_what_a_callback_sees() -> None:
    seen: list[Any] = []

    def look(member: Any, epoch: int, row: Any) -> None:
        seen.append(
            (member.number, member.epochs_done, member.seed, len(member.history), member.optimizer.lr, member.loss.name)
        )
        with pytest.raises(AttributeError, match="sees one member at a time, which has no save"):
            member.save("file")

    trainer = nn.Trainer(nn.Ensemble(net(3), 2), SOFTMAX, nn.SGD(nn.Each([0.1, 0.2])), seed=5)
    trainer.fit(X, Y, epochs=1, callbacks=[nn.LambdaCallback(on_epoch_end=look)], verbose=0)
    assert seen == [(0, 1, 5, 1, 0.1, SOFTMAX), (1, 1, 6, 1, 0.2, SOFTMAX)]


def test_ctrl_c_leaves_whole_epochs() -> None:
    """Each member is as it was after one of its epochs, and another call continues with the same bits."""
    rows, labels = RNG.normal(size=(400, 4)).astype(np.float32), RNG.integers(0, 3, 400)

    def make() -> nn.EnsembleTrainer:
        return nn.Trainer(nn.Ensemble(net(3), 5), SOFTMAX)

    trainer = make()
    threading.Timer(0.4, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    start = time.monotonic()
    trainer.fit(rows, labels, epochs=100_000, batch_size=4, verbose=0)
    assert time.monotonic() - start < 5
    assert trainer.interrupted
    done = trainer.history.epochs.copy()
    assert done.min() >= 0 and done.max() > 0  # noqa: PT018
    assert set(trainer.history.ended) == {"interrupted"}
    for k in range(5):
        assert len(trainer.history.member(k)) == done[k]
    straight = make()
    straight.fit(rows, labels, epochs=int(done.max()) + 1, batch_size=4, verbose=0)
    for k in range(5):
        alone = nn.Trainer(net(3 + k), SOFTMAX, seed=k)
        alone.fit(rows, labels, epochs=int(done[k]), batch_size=4, verbose=0) if done[k] else None
        assert np.array_equal(alone.model.parameters, trainer.model[k].parameters)
    trainer.fit(rows, labels, epochs=1, batch_size=4, verbose=0)
    k = int(done.argmax())
    assert np.array_equal(straight.model[k].parameters, trainer.model[k].parameters)


REFUSED: list[tuple[Any, type[Exception], str]] = [
    (lambda: nn.Ensemble(net(), 0), ValueError, "members must be a positive integer, got 0"),
    (lambda: nn.Ensemble([]), ValueError, r"a list of at least one of them, got \[\]"),
    (lambda: nn.Ensemble([net()], 2), ValueError, "members must be 1, the number of models, got 2"),
    (lambda: nn.Ensemble([net(), 3]), TypeError, "members must be Sequential, got 3 at position 1"),
    (lambda: nn.Ensemble("net"), TypeError, "model must be a Sequential or a list of them"),
    (lambda: nn.Ensemble([net(), net(0, 2)]), ValueError, "members must have outputs of one shape"),
    (lambda: nn.Ensemble(net(0, 3, nn.Dropout(nn.Each([0.1]))), 2), ValueError, "a value for each of 2 members, got 1"),
    (lambda: nn.Each([]), ValueError, "values must have one value for each member, got none"),
    (lambda: nn.Each(3), TypeError, "values must be a list with one value for each member, got 3"),
    (lambda: nn.SGD(lr=nn.Each([0.1, -1])), ValueError, "lr must be a finite number of at least 0, got -1"),
    (lambda: nn.Trainer(nn.Ensemble(net(), 2), SOFTMAX, nn.SGD(nn.Each([1.0]))), ValueError, "for each of 2 members, got 1"),
    (lambda: nn.Trainer(nn.Ensemble(net(), 2), SOFTMAX, "newton"), ValueError, "must take gradient steps"),
    (lambda: nn.EnsembleTrainer(net(), SOFTMAX), TypeError, "model must be an Ensemble"),
    (lambda: nn.Trainer(nn.Ensemble(net(), 2), SOFTMAX, learning_rate=1), TypeError, "has no argument 'learning_rate'"),
    (lambda: nn.Bags(2.0, replace=False), ValueError, "share must be at most 1 without replacement"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "error", "message"), REFUSED)
def test_bad_arguments(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


CALLS: list[tuple[dict[str, Any], str]] = [
    ({"subsets": [[0, 1], [2, 70]]}, "subsets must give member 1 row numbers from 0 to 69, at least one"),
    ({"subsets": [[0, 1], []]}, "subsets must give member 1 row numbers"),
    ({"subsets": [[0, 1]]}, "subsets must have the rows of each of 2 members, got 1"),
    ({"subsets": [[0.5], [1]]}, "subsets must give member 0 row numbers"),
    ({"subsets": nn.Folds(3), "validation_data": (X, Y)}, "exclude each other"),
    ({"callbacks": [nn.ModelCheckpoint("net")]}, "ModelCheckpoint is for one model"),
    ({"callbacks": [nn.CSVLogger("log.csv")]}, "CSVLogger is for one model"),
    ({"callbacks": [nn.EarlyStopping("val_loss")]}, "val_loss"),
    ({"epochs": 0}, "epochs must be a positive integer"),
    ({"sampler": "importance_sampling", "subsets": nn.Bags()}, "needs subsets in which a row occurs once"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "message"), CALLS, ids=lambda value: str(value)[:30])
def test_bad_calls_change_nothing(call: dict[str, Any], message: str) -> None:
    trainer = nn.Trainer(nn.Ensemble(net(), 2), SOFTMAX)
    before = trainer.model.groups[0].parameters.copy()
    with pytest.raises((ValueError, TypeError, KeyError), match=message):
        trainer.fit(X, Y, verbose=0, **call)
    assert np.array_equal(trainer.model.groups[0].parameters, before)
    assert len(trainer.history) == 0


def test_boolean_subsets_and_own_classes() -> None:
    class Odd(nn.Subsets):
        def rows(self, member: int, examples: int) -> Any:
            return np.arange(examples) % 2 == 1

    trainer = trained(2, subsets=Odd())
    alone = nn.Trainer(net(3), SOFTMAX, nn.Adam(lr=0.05), metrics=["accuracy"])
    alone.fit(X[1::2], Y[1::2], epochs=2, verbose=0)
    assert np.array_equal(alone.model.parameters, trainer.model[0].parameters)


def test_labels_that_change_under_way() -> None:
    """They are checked when they are read: nothing outside of an array is read or written."""
    labels = Y.copy()
    trainer = nn.Trainer(nn.Ensemble(net(), 2), SOFTMAX)

    def change(member: Any, epoch: int, row: Any) -> None:
        labels[:] = 10**9

    with pytest.raises(ValueError, match="y must be labels of the network's outputs"):
        trainer.fit(X, labels, epochs=3, callbacks=[nn.LambdaCallback(on_epoch_end=change)], verbose=0)


def test_one_training_at_a_time() -> None:
    trainer = nn.Trainer(nn.Ensemble(net(), 2), SOFTMAX)

    def again(member: Any, epoch: int, row: Any) -> None:
        trainer.fit(X, Y, verbose=0)

    with pytest.raises(RuntimeError, match="is training already"):
        trainer.fit(X, Y, callbacks=[nn.LambdaCallback(on_epoch_end=again)], verbose=0)


@pytest.mark.parametrize("verbose", [1, 2])
def test_progress(verbose: int, capsys: pytest.CaptureFixture[str]) -> None:
    trainer = nn.Trainer(nn.Ensemble(net(), 3), SOFTMAX)
    trainer.fit(X, Y, epochs=3, verbose=verbose)
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("epoch 3/3")
    assert "members 3" in lines[-1]
    assert "best" in lines[-1]


def test_a_checkpoint_of_another_ensemble_is_refused(tmp_path: Path) -> None:
    """Which has arrays of the same shapes; also if its optimizers have other arguments."""

    def make(activation: Any = nn.Tanh, rates: tuple[float, ...] = (0.1, 0.2), strength: float = 0.1) -> nn.EnsembleTrainer:
        models = [nn.Sequential([nn.Dense(3), activation(), nn.Dense(3)], input_shape=4, seed=seed) for seed in (1, 2)]
        penalty = type("Own", (nn.Regularizer,), {"l2": strength})()
        return nn.Trainer(nn.Ensemble(models), SOFTMAX, nn.SGD(nn.Each(rates)), regularizer=penalty)

    first = make()
    first.fit(X, Y, epochs=1, verbose=0)
    first.save(tmp_path / "part")
    for changes, message in (
        ({"activation": nn.ReLU}, r"layers\[1\] must be ReLU, got Tanh"),
        ({"rates": (0.1, 0.3)}, r"other arguments: lr must be 0\.3, got 0\.2"),
        ({"strength": 0.2}, r"regularizer\.described_by\.l2 must be 0\.2, got 0\.1"),
    ):
        with pytest.raises(ValueError, match=message):
            make(**changes).restore(tmp_path / "part")  # type: ignore[arg-type]
    first._optimizers[0].lr = 0.05  # as a callback may
    first.save(tmp_path / "part")
    second = make()
    second.restore(tmp_path / "part")
    assert [optimizer.lr for optimizer in second._optimizers] == [0.05, 0.2]


def test_values_of_users_classes_that_do_something_else_are_not_merged() -> None:
    """Members are trained together only if their penalties are the same."""

    class Own(nn.Regularizer):
        def __init__(self) -> None:
            self.strengths = {"l2": 0.0}

        @property
        def l2(self) -> float:  # type: ignore[override]
            return self.strengths["l2"]

    penalties = [Own(), Own()]
    penalties[1].strengths["l2"] = 1.0
    trainer = nn.Trainer(nn.Ensemble([net(1), net(1)]), SOFTMAX, nn.SGD(0.1), regularizer=nn.Each(penalties))
    trainer.fit(X, Y, epochs=2, verbose=0)
    free, bound = (float(np.abs(member.parameters).sum()) for member in trainer.model)
    assert bound < 0.7 * free


@pytest.mark.parametrize("change", [-1, 1])
def test_evaluation_refuses_other_lengths_and_rows_that_no_member_takes(change: int) -> None:
    """Also longer ones, of which the first rows would do."""
    trainer, n = trained(2, epochs=1), len(X)
    rows = np.arange(n + change) % n
    with pytest.raises(ValueError, match=rf"X and y must have the same length, got {n} and {n + change}"):
        trainer.evaluate(X, Y[rows])
    with pytest.raises(ValueError, match=rf"sample_weight must have shape \({n},\), one number for each example, got"):
        trainer.evaluate(X, Y, sample_weight=np.ones(n + change))
    wrong = Y.copy()
    wrong[17] = 7
    with pytest.raises(ValueError, match=r"y must be labels from 0 to 2, got 7 in row 17"):
        trainer.evaluate(X, wrong)
    numbers = nn.Trainer(nn.Ensemble(nn.Sequential([nn.Dense(1)], input_shape=4), 2), "squared_error")
    with pytest.raises(ValueError, match=r"y is too large for float32, got 1e\+300 in row 17"):
        numbers.evaluate(X, np.where(np.arange(n) == 17, 1e300, 0.0))
