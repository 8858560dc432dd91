"""Augmentation: each transform against SciPy or its formula, and trainings that see what `Augment` shows when it is called."""

import io
import signal
from typing import Any

import numpy as np
import pytest
from helpers.processes import run_python
from numpy.typing import NDArray
from scipy import ndimage, stats

import nncore as nn
from nncore.data import augmentation
from nncore.data.augmentation import Augment, GeometricTransform, Occlude, PixelNoise, Rotate, Shift, Stretch, Transform

Array = NDArray[Any]

KINDS: dict[str, Transform] = {
    "Rotate": Rotate(30), "Stretch": Stretch((0.6, 1.5)), "Shift": Shift(2), "PixelNoise": PixelNoise(0.2),
    "Occlude": Occlude(3),
}  # fmt: skip
each_kind = pytest.mark.parametrize("kind", nn.data.TRANSFORMS)
ALL = [*KINDS.values(), Rotate(5)]


def images(n: int = 40, shape: tuple[int, ...] = (6, 5), dtype: str = "float32") -> Array:
    return np.random.default_rng(1).random((n, int(np.prod(shape)))).astype(dtype)


def uniforms(transform: Transform, n: int, shape: tuple[int, int, int]) -> Array:
    return np.random.default_rng(2).random((n, transform.numbers(shape)))


# --- which random numbers


@each_kind
def test_an_image_depends_on_seed_epoch_and_example_alone(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    augment, X = Augment([KINDS[kind]], (6, 5)), images()
    whole = augment(X, seed=3, epoch=2)
    chosen = np.random.default_rng(0).choice(40, 60)  # in any order, some twice
    assert np.array_equal(augment(X[chosen], 3, 2, chosen), whole[chosen])
    monkeypatch.setattr(augmentation, "PIXELS", 90)  # three images at a time
    assert np.array_equal(augment(X, seed=3, epoch=2), whole)
    others = [augment(X, 3, 3), augment(X, 4, 2), augment(X, 3, 2, np.arange(40) + 1), augment(X, 2**64 - 1, 2)]
    for other in others:
        assert (np.abs(other - whole).max(axis=1) > 0).mean() > 0.5


def test_transforms_of_one_kind_draw_their_own_numbers() -> None:
    X = np.zeros((1, 30))
    twice, once = Augment([PixelNoise(1), PixelNoise(1)], (6, 5))(X), Augment([PixelNoise(1)], (6, 5))(X)
    assert np.abs(twice - 2 * once).min() > 1e-3


def test_the_random_numbers_are_numpys_philox() -> None:
    """Blocks of four words at the example's place; a far example costs nothing."""
    for numbers, examples in ((1, [0, 1, 2]), (6, [3, 4, 9, 2]), (4, [2**40, 5])):
        got = augmentation._uniforms(7, 9, 1, np.array(examples), numbers)
        for row, example in zip(got, examples, strict=True):
            philox = np.random.Philox(key=[7, 9], counter=[example * -(-numbers // 4), 1, 0, augmentation.STREAM])
            assert np.array_equal(row, (philox.random_raw(numbers) // 2**12 + 0.5) / 2**52)


def test_the_random_numbers_are_uniform() -> None:
    values = augmentation._uniforms(0, 1, 0, np.arange(1000), 3)
    assert 0 < values.min() < values.max() < 1
    assert stats.kstest(values.ravel(), "uniform").pvalue > 0.01
    assert np.abs(np.corrcoef(values.T) - np.eye(3)).max() < 0.1
    assert abs(np.corrcoef(values[1:, 0], values[:-1, 0])[0, 1]) < 0.1


# --- each transform


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 3e-5), ("float64", 1e-12)])  # 50 roundings of places up to 10
@pytest.mark.parametrize("shape", [(6, 5, 1), (7, 8, 3), (1, 4, 1)])
def test_interpolation_is_scipys(shape: tuple[int, int, int], dtype: str, tolerance: float) -> None:
    rng = np.random.default_rng(3)
    X, matrix = rng.random((30, *shape)).astype(dtype), np.eye(2) + 0.5 * rng.normal(size=(30, 2, 2))
    offset, middle = 2 * rng.normal(size=(30, 2)), (np.array(shape[:2]) - 1) / 2
    got = augmentation._interpolated(X, matrix, offset, 0.3)
    assert got.dtype == dtype
    for n in range(30):
        at = offset[n] + middle - matrix[n] @ middle
        for channel in range(shape[2]):
            expected = ndimage.affine_transform(
                X[n, :, :, channel].astype(float), matrix[n], at, order=1, mode="grid-constant", cval=0.3
            )
            np.testing.assert_allclose(got[n, :, :, channel], expected, atol=tolerance)


@pytest.mark.parametrize("u", [0.0, 0.2, 0.5, 0.9])
def test_rotation_is_that_of_scipy(u: float) -> None:
    """``ndimage.rotate`` turns counterclockwise, too."""
    X = images(1, (7, 7), "float64").reshape(1, 7, 7, 1)
    got = Rotate(40).apply(X, np.array([[u]]), 0.0)[0, :, :, 0]
    expected = ndimage.rotate(X[0, :, :, 0], 80 * u - 40, reshape=False, order=1, mode="grid-constant")
    np.testing.assert_allclose(got, expected, atol=1e-12)


def test_a_right_angle_moves_pixels_counterclockwise() -> None:
    X = images(1, (5, 5), "float64").reshape(1, 5, 5, 1)
    np.testing.assert_allclose(Rotate(90).apply(X, np.array([[1.0]]), 0.0)[0], np.rot90(X[0]), atol=1e-12)


def test_stretching_by_two() -> None:
    """Of (row, column) from the center, those at half the distance; a factor is low^(1−u) high^u."""
    X = images(1, (5, 5), "float64").reshape(1, 5, 5, 1)
    got = Stretch((0.5, 2.0)).apply(X, np.array([[1.0, 0.5]]), 0.0)[0]
    np.testing.assert_allclose(got[::2], X[0, 1:4], atol=1e-12)
    matrix, _ = Stretch((0.8, 1.3)).inverse(np.array([[0.0, 0.25]]))
    np.testing.assert_allclose(matrix[0], np.diag([1 / 0.8, 1 / (0.8**0.75 * 1.3**0.25)]))


def test_shifts_are_exact_and_equally_likely() -> None:
    X = images(900, (4, 4))
    got = Augment([Shift(1)], (4, 4), fill=9.0)(X).reshape(-1, 4, 4)
    padded = np.pad(X.reshape(-1, 4, 4), ((0, 0), (1, 1), (1, 1)), constant_values=9.0)
    shifted = np.array([padded[:, 1 - a : 5 - a, 1 - b : 5 - b] for a in (-1, 0, 1) for b in (-1, 0, 1)])
    equal = (shifted == got).all(axis=(2, 3))
    assert (equal.sum(axis=0) == 1).all()
    assert stats.chisquare(equal.sum(axis=1)).pvalue > 0.01


def test_noise_is_normal() -> None:
    noise = (Augment([PixelNoise(0.5)], (10, 10))(np.full((300, 100), 2.0)) - 2.0) / 0.5
    assert stats.kstest(noise.ravel(), "norm").pvalue > 0.01
    assert np.abs(np.corrcoef(noise[:, :20].T) - np.eye(20)).max() < 0.3


@pytest.mark.parametrize("channels", [1, 3])
def test_a_square_is_covered_anywhere(channels: int) -> None:
    X = np.ones((600, 5, 4, channels))
    covered = (Augment([Occlude(3)], (5, 4, channels), fill=7.0)(X) == 7.0).all(axis=3)
    assert np.array_equal(covered, (Augment([Occlude(3)], (5, 4, channels), fill=7.0)(X) != 1).any(axis=3))
    corners = covered.argmax(axis=1).max(axis=1), covered.argmax(axis=2).max(axis=1)
    assert (covered.sum(axis=1).max(axis=1) == 3).all()
    assert (covered.sum(axis=(1, 2)) == 9).all()
    places = 2 * corners[0] + corners[1]
    assert stats.chisquare(np.bincount(places, minlength=6)).pvalue > 0.01
    full = Augment([Occlude(4)], (4, 4))(np.ones((3, 16)))
    assert not full.any()


# --- together


def test_geometric_transforms_interpolate_once() -> None:
    """The map of all: an image that is linear stays so, where no pixel comes from outside; two shifts cancel exactly."""

    class There(GeometricTransform):
        sign = 1.0

        def numbers(self, shape: tuple[int, int, int]) -> int:
            return 1

        def inverse(self, uniforms: Array) -> tuple[Array, Array]:
            return np.tile(np.eye(2), (len(uniforms), 1, 1)), np.full((len(uniforms), 2), self.sign * 2.5)

    class Back(There):
        sign = -1.0

    X = images()
    assert np.array_equal(Augment([There(), Back()], (6, 5))(X), X)
    assert not np.allclose(Augment([There(), PixelNoise(0), Back()], (6, 5))(X), X)


def test_transforms_are_made_in_their_order() -> None:
    """Each is applied to what the ones before have made; the composition agrees with single steps where pixels stay whole."""
    X = images(20, (5, 5))
    got = Augment([Shift(2), Occlude(2), Shift(1)], (5, 5), fill=0.5)(X)
    made = X.reshape(-1, 5, 5, 1)
    for place, transform in enumerate((Shift(2), Occlude(2), Shift(1))):
        made = transform.apply(made.copy(), augmentation._uniforms(0, 1, place, np.arange(20), 2), 0.5)
    assert np.array_equal(got, made.reshape(20, 25))


def test_maps_are_traced_back_from_the_last() -> None:
    kinds = Rotate(50), Shift(2), Stretch((0.5, 2))
    maps = [kind.inverse(uniforms(kind, 9, (4, 4, 1))) for kind in kinds]
    matrix, offset = augmentation._composed(maps)
    point = np.tile([1.0, -2.0], (9, 1))
    made = np.einsum("nij,nj->ni", matrix, point) + offset
    for own, shift in reversed(maps):
        point = np.einsum("nij,nj->ni", own, point) + shift
    np.testing.assert_allclose(made, point, atol=1e-12)


@pytest.mark.parametrize("shape", [(6, 5), (2, 5, 3)])
def test_shapes_and_dtypes(shape: tuple[int, ...]) -> None:
    augment = Augment([Rotate(10), Occlude(1)], shape)
    flat = augment(images())
    assert (flat.shape, flat.dtype) == ((40, 30), "float32")
    assert np.array_equal(augment(images().reshape(40, *shape)), flat.reshape(40, *shape))
    assert augment(np.ones((2, 30), dtype=np.uint8)).dtype == augment(np.ones((2, 30))).dtype == "float64"
    assert augment(np.ones((0, 30))).shape == (0, 30)


def test_the_images_given_stay_as_they_are() -> None:
    X = images()
    X.flags.writeable = False
    Augment(ALL, (6, 5))(X)


def test_nothing_to_do() -> None:
    X, none = images(), [Rotate(0), Stretch((1, 1)), Shift(0), PixelNoise(0)]
    assert np.array_equal(Augment([], (6, 5))(X), X)
    assert np.array_equal(Augment(none, (6, 5))(X), X)


# --- in training


def untrained(X: Array, dtype: str = "float32") -> nn.Trainer:
    model = nn.Sequential([nn.Dense(7), nn.Tanh(), nn.Dense(3)], input_shape=X.shape[1], dtype=dtype, seed=2)
    return nn.Trainer(model, "softmax_cross_entropy", nn.Adam(lr=0.01), seed=5)


def trained(X: Array, y: Array, augment: Augment | None, *, epochs: int = 3, dtype: str = "float32", **fit: Any) -> nn.Trainer:
    trainer = untrained(X, dtype)
    trainer.fit(X, y, epochs=epochs, augment=augment, verbose=0, batch_size=8, **fit)
    return trainer


def by_hand(X: Array, y: Array, augment: Augment, *, epochs: int = 3, dtype: str = "float32", **fit: Any) -> nn.Trainer:
    """A fit for each epoch, on what it shows."""
    trainer = untrained(X, dtype)
    for epoch in range(1, epochs + 1):
        trainer.fit(augment(X, seed=5, epoch=epoch), y, verbose=0, batch_size=8, **fit)
    return trainer


def labels(n: int = 40) -> Array:
    return np.arange(n) % 3


def same(one: nn.Trainer, other: nn.Trainer) -> bool:
    columns = [name for name in one.history.columns if name in other.history.columns]
    assert columns[0] == "running_loss"
    return np.array_equal(one.model.parameters, other.model.parameters) and all(
        np.array_equal(one.history[name], other.history[name]) for name in columns
    )


FITS: dict[str, dict[str, Any]] = {
    "plain": {}, "in order": {"shuffle": False}, "accumulate": {"accumulate": 2}, "drop": {"last_batch": "drop"},
    "stratified": {"sampler": "stratified"}, "with replacement": {"sampler": "with_replacement"},
    "sample weights": {"sample_weight": np.linspace(0, 2, 40)}, "class weights": {"class_weight": {0: 3.0}},
    "verbose": {"callbacks": [nn.LambdaCallback(on_epoch_end=lambda *_: None)]},
}  # fmt: skip


@pytest.mark.parametrize("name", FITS)
def test_an_epoch_sees_what_augment_shows(name: str) -> None:
    X, y, augment = images(), labels(), Augment(ALL, (6, 5))
    assert same(trained(X, y, augment, **FITS[name]), by_hand(X, y, augment, **FITS[name]))
    assert not same(trained(X, y, augment, **FITS[name]), trained(X, y, None, **FITS[name]))


def test_in_float64() -> None:
    X, y, augment = images(dtype="float64"), labels(), Augment(ALL, (6, 5))
    assert same(trained(X, y, augment, dtype="float64"), by_hand(X, y, augment, dtype="float64"))


def test_samplers_by_loss_take_those_of_training() -> None:
    """The first losses are those of the images as they are; then each is that of the image that was trained on."""
    X, y = images(), labels()
    trainer = trained(X, y, Augment([PixelNoise(0.3)], (6, 5)), sampler="largest_loss_first", epochs=1)
    losses = trainer._last_losses.values
    assert losses is not None
    again = trained(X, y, Augment([PixelNoise(0.3)], (6, 5)), sampler="importance_sampling", epochs=4)
    assert np.isfinite(again.model.parameters).all()
    np.testing.assert_allclose(losses.mean(), trainer.history["running_loss"][0], rtol=1e-6)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_bits_do_not_depend_on_the_number_of_threads(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    X, y, augment = images(), labels(), Augment(ALL, (6, 5))
    expected = by_hand(X, y, augment)
    monkeypatch.setattr(augmentation, "PIXELS", 90)  # three images at a time
    monkeypatch.setattr("nncore._kernels.get_num_threads", lambda: threads)
    assert same(trained(X, y, augment), expected)


def test_validation_is_never_augmented() -> None:
    X, y, augment = images(), labels(), Augment([PixelNoise(1.0)], (6, 5))
    trainer = trained(X, y, augment, epochs=2, validation_data=(X, y), exact_loss=True)
    plain = trainer.evaluate(X, y)["loss"]
    assert trainer.history["val_loss"][-1] == trainer.history["loss"][-1] == plain
    assert same(trainer, trained(X, y, augment, epochs=2))


def test_a_validation_split_keeps_the_numbers_of_the_examples() -> None:
    """The other rows are held back, and each row trained on is changed as it would be without a split."""
    X, y, augment = images(), labels(), Augment(ALL, (6, 5))
    kept, held_back = nn.data.train_validation_split(X, y, 0.3, seed=5)
    trainer = trained(X, y, augment, epochs=1, validation_split=0.3)
    assert trainer.history["val_loss"][0] == trainer.evaluate(X[held_back], y[held_back])["loss"]
    shown = X.copy()
    shown[kept] = augment(X[kept], 5, 1, kept)
    assert same(trainer, trained(shown, y, None, epochs=1, validation_split=0.3))


def test_a_scaler_of_the_model_comes_after() -> None:
    X, y, augment = images(), labels(), Augment([Shift(1), PixelNoise(0.1)], (6, 5))
    scaler = nn.data.StandardScaler().fit(X)

    def trainer() -> nn.Trainer:
        model = nn.Sequential([nn.Dense(3)], input_shape=30)
        model.input_scaler = scaler
        return nn.Trainer(model, "softmax_cross_entropy", seed=5)

    one, other = trainer(), trainer()
    one.fit(X, y, epochs=2, augment=augment, verbose=0)
    for epoch in (1, 2):
        other.fit(augment(X, 5, epoch), y, verbose=0)
    assert same(one, other)


def test_images_of_other_dtypes_and_axes() -> None:
    X, y, augment = (images() * 255).astype(np.uint8), labels(), Augment([Rotate(20)], (6, 5))
    assert same(trained(X, y, augment), by_hand(X.astype("float32"), y, augment))
    one, other = (nn.Trainer(nn.Sequential([nn.SimpleRNN(3)], input_shape=(6, 5)), "softmax_cross_entropy") for _ in range(2))
    one.fit(X.reshape(-1, 6, 5), y, augment=augment, verbose=0)
    other.fit(augment(X.astype("float32").reshape(-1, 6, 5)), y, verbose=0)
    assert same(one, other)


def test_a_checkpoint_continues_with_the_same_bits() -> None:
    X, y, augment = images(), labels(), Augment(ALL, (6, 5))
    whole, part, file = trained(X, y, augment, epochs=5), trained(X, y, augment, epochs=2), io.BytesIO()
    part.save(file)
    rest = untrained(X)
    rest.restore(io.BytesIO(file.getvalue()))
    rest.fit(X, y, epochs=3, augment=augment, verbose=0, batch_size=8)
    assert same(rest, whole)


def test_ctrl_c_ends_an_epoch_before_its_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    class Press(Transform):
        def numbers(self, shape: tuple[int, int, int]) -> int:
            return 1

        def apply(self, images: Array, uniforms: Array, fill: float) -> Array:
            if trainer.epochs_done == 2:
                calls.append(len(images))
                signal.raise_signal(signal.SIGINT)
            return images

    monkeypatch.setattr(augmentation, "PIXELS", 90)  # three images at a time
    monkeypatch.setattr("nncore._kernels.get_num_threads", lambda: 1)  # signals arrive on the main one
    model = nn.Sequential([nn.Dense(3)], input_shape=30)
    trainer = nn.Trainer(model, "softmax_cross_entropy")
    trainer.fit(images(), labels(), epochs=9, augment=Augment([Press()], (6, 5)), verbose=0)
    assert trainer.interrupted
    assert calls == [3]  # the other images are not made
    assert (trainer.epochs_done, len(trainer.history), trainer.optimizer.step_count) == (2, 2, 4)


class OwnMap(GeometricTransform):
    def __init__(self, made: Any) -> None:
        self.made = made

    def numbers(self, shape: tuple[int, int, int]) -> Any:
        return 0

    def inverse(self, uniforms: Array) -> Any:
        return self.made


class OwnNumbers(OwnMap):
    def numbers(self, shape: tuple[int, int, int]) -> Any:
        return self.made

    def apply(self, images: Array, uniforms: Array, fill: float) -> Array:
        return images[:, ::-1]


EYE, ZERO = np.broadcast_to(np.eye(2), (40, 2, 2)), np.zeros((40, 2))


def test_transforms_without_random_numbers() -> None:
    X = images()
    assert np.array_equal(Augment([OwnNumbers(0)], (6, 5))(X), X.reshape(40, 6, 5)[:, ::-1].reshape(40, 30))
    for made in (EYE, ZERO), (EYE.tolist(), ZERO.tolist()), (EYE.astype(int), ZERO.astype(np.float32)):
        assert np.array_equal(Augment([OwnMap(made)], (6, 5))(X), X)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (None, r"OwnMap\.inverse must return a pair, M and c, got NoneType"),
        ((EYE[:1], ZERO), r"OwnMap\.inverse, first M, must return .* of shape \(40, 2, 2\), got shape \(1, 2, 2\)"),
        ((np.eye(3), ZERO), r"OwnMap\.inverse, first M, must return .* of shape \(40, 2, 2\), got shape \(3, 3\)"),
        ((EYE, ZERO[0]), r"OwnMap\.inverse, second c, must return .* of shape \(40, 2\), got shape \(2,\)"),
        ((EYE + 0j, ZERO), r"OwnMap\.inverse, first M, must return an array of real numbers"),
        ((EYE * np.nan, ZERO), r"OwnMap\.inverse must return finite numbers"),
        ((EYE, ZERO + np.inf), r"OwnMap\.inverse must return finite numbers"),
    ],
)
def test_maps_of_ones_own_are_checked(made: Any, message: str) -> None:
    """By themselves and composed with others."""
    for transforms in [OwnMap(made)], [Rotate(5), OwnMap(made)]:
        with pytest.raises((TypeError, ValueError), match=message):
            Augment(transforms, (6, 5))(images())


@pytest.mark.parametrize("numbers", [-1, 1.5, None, "a"])
def test_numbers_of_ones_own_are_checked(numbers: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"OwnNumbers\.numbers, what it returns, must be an integer"):
        Augment([OwnNumbers(numbers)], (6, 5))(images())


def test_an_error_of_a_transform_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(Transform):
        def numbers(self, shape: tuple[int, int, int]) -> int:
            return 1

        def apply(self, images: Array, uniforms: Array, fill: float) -> Array:
            return images[:, 1:]

    class Infinite(Wrong):
        def apply(self, images: Array, uniforms: Array, fill: float) -> Array:
            return images * np.inf

    monkeypatch.setattr(augmentation, "PIXELS", 90)  # several threads
    for wrong, message in ((Wrong, r"Wrong.apply must return .* \(3, 6, 5, 1\), got"), (Infinite, "X, changed by augment,")):
        with pytest.raises(ValueError, match=message):
            trained(images(), labels(), Augment([wrong()], (6, 5)))


# --- refused


def test_arguments_are_refused() -> None:
    X = images()
    for act, error, message in (
        (lambda: Augment([Occlude(6)], (6, 5)), ValueError, "size of Occlude must be at most 5, that of the image, got 6"),
        (lambda: Augment([Rotate(1)], 30), TypeError, r"image_shape must be \(height, width\) or"),
        (lambda: Augment([Rotate(1)], (6, 0)), ValueError, "image_shape must be a positive integer, got 0"),
        (lambda: Augment(Rotate(1), (6, 5)), TypeError, "transforms must be a list"),
        (lambda: Augment(["rotate"], (6, 5)), TypeError, "transforms must be a Transform, got 'rotate'"),
        (lambda: Stretch((1.2, 0.8)), ValueError, "factors must be a pair .* low <= high"),
        (lambda: Stretch(1.2), TypeError, "factors must be a pair"),
        (lambda: Stretch((0, 1)), ValueError, "factors must be a positive number, got 0"),
        (lambda: Rotate(200), ValueError, r"degrees must be a number in \[0, 180\], got 200"),
        (lambda: Shift(0.5), TypeError, "pixels must be an integer of at least 0, got 0.5"),
        (lambda: Augment([], (6, 5))(X[:, :9]), ValueError, r"X must have shape \(n, 30\), images of shape \(6, 5\), got"),
        (lambda: Augment([], (6, 5))(X * np.nan), ValueError, "X must be finite"),
        (lambda: Augment([], (6, 5))(X, epoch=0), ValueError, "epoch must be"),
        (lambda: Augment([], (6, 5))(X, indices=[-1] * 40), ValueError, "indices must be 40 integers of at least 0"),
        (lambda: Augment([], (6, 5))(X, indices=[1]), ValueError, "indices must be 40 integers of at least 0"),
        (lambda: Augment([], (6, 5))(X, indices=np.full(40, 2**64 - 5, np.uint64)), ValueError, "indices must be 40 integers"),
    ):
        with pytest.raises(error, match=message):
            act()


def test_a_transform_that_no_longer_fits_is_refused() -> None:
    occlude = Occlude(2)
    augment = Augment([occlude], (6, 5))
    occlude.size = 6
    with pytest.raises(ValueError, match="size of Occlude must be at most 5"):
        augment(images())
    with pytest.raises(ValueError, match="size of Occlude must be at most 5"):
        trained(images(), labels(), augment)


def test_what_fit_refuses() -> None:
    import scipy.sparse

    X, y, augment = images(), labels(), Augment([Shift(1)], (6, 5))

    def fit(optimizer: Any = "adam", data: Any = X, given: Any = augment) -> None:
        trainer = nn.Trainer(nn.Sequential([nn.Dense(3)], input_shape=30), "softmax_cross_entropy", optimizer)
        before = trainer.model.parameters.copy()
        try:
            trainer.fit(data, y, augment=given, verbose=0)
        finally:
            assert np.array_equal(trainer.model.parameters, before)

    for arguments, error, message in (
        ({"given": [Shift(1)]}, TypeError, r"augment must be None or an nn.data.Augment, got \[Shift"),
        ({"given": Augment([], (5, 5))}, ValueError, r"X must have shape \(n, 25\), images of the shape of augment"),
        ({"data": scipy.sparse.csr_matrix(X)}, TypeError, "augment must be None for sparse inputs"),
        ({"optimizer": nn.Rprop()}, ValueError, "augment must be None with Rprop"),
        ({"optimizer": nn.second_order.BFGS()}, ValueError, "augment must be None with BFGS"),
    ):
        with pytest.raises(error, match=message):
            fit(**arguments)
    with pytest.raises(AssertionError):  # it trains
        fit(nn.Rprop(allow_mini_batches=True))


def test_a_model_that_reads_sparse_rows_is_refused() -> None:
    trainer = nn.Trainer(nn.Sequential([nn.SparseDense(3)], input_shape=30), "softmax_cross_entropy")
    with pytest.raises(TypeError, match="augment must be None for sparse inputs"):
        trainer.fit(images(), labels(), augment=Augment([Shift(1)], (6, 5)), verbose=0)


def test_values() -> None:
    one, other = (Augment([Rotate(5), Shift(1)], [6, 5]) for _ in range(2))
    assert one == other != Augment([Rotate(5), Shift(2)], (6, 5))
    assert repr(one) == "Augment(transforms=(Rotate(degrees=5.0), Shift(pixels=1)), image_shape=(6, 5), fill=0.0)"
    assert one.config() == {
        "transforms": [{"class": "Rotate", "degrees": 5.0}, {"class": "Shift", "pixels": 1}],
        "image_shape": [6, 5],
        "fill": 0.0,
    }


SAVES = """
import io
import numpy as np
import nncore as nn
from nncore.data import augmentation

class Saves(nn.data.Transform):
    def numbers(self, shape):
        return 0
    def apply(self, images, uniforms, fill):
        trainer.save(io.BytesIO())
        return images

augmentation.PIXELS = 8  # two images at a time
trainer = nn.Trainer(nn.Sequential([nn.Dense(2)], input_shape=4), "softmax_cross_entropy")
try:
    trainer.fit(np.ones((8, 4)), np.arange(8) % 2, augment=nn.data.Augment([Saves()], (2, 2)), verbose=0)
except RuntimeError as error:
    print(str(error)[:36])
trainer.save(io.BytesIO())
print(trainer.epochs_done)
"""


@pytest.mark.parametrize("threads", ["1", "3"])
def test_a_transform_must_not_save_its_trainer(threads: str) -> None:
    """On threads beside the one that trains neither: these would wait for each other."""
    done = run_python(SAVES, NNCORE_NUM_THREADS=threads)
    assert done.stdout.splitlines() == ["this trainer is within an epoch, so ", "0"], done.stderr
