"""Augmentation of images: random changes that depend only on the seed, the epoch and the example."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore._messages import shown
from nncore._utils.arrays import Array, returned, returned_pair
from nncore._utils.checks import as_numbers, check_finite, convert
from nncore._utils.fields import Converted, Count, Instance, ListOf, Number, Value, count, number
from nncore._utils.registry import classes
from nncore.data.example_weights import Float64, Int64

__all__ = [
    "TRANSFORMS", "Augment", "GeometricTransform", "Occlude", "PixelNoise", "Rotate", "Shift", "Stretch", "Transform",
]  # fmt: skip

STREAM = 0x61756D676E  # in the counter of the random numbers: none of those that samplers draw
PIXELS = 1 << 16  # that are changed together: some arrays of so many fit the cache


class Transform(Value):
    """Base class: a random change of images. A subclass defines `numbers` and `apply`, which several threads may call.

    Examples
    --------
    A transform of your own, which mirrors half of the images:

    >>> import numpy as np
    >>> import nncore as nn
    >>> class Mirror(nn.data.Transform):
    ...     def numbers(self, shape):
    ...         return 1
    ...     def apply(self, images, uniforms, fill):
    ...         chosen = uniforms[:, 0] < 0.5
    ...         images[chosen] = images[chosen, :, ::-1]
    ...         return images
    >>> nn.data.Augment([Mirror()], (1, 3))([[1, 2, 3], [4, 5, 6]])
    array([[3., 2., 1.],
           [4., 5., 6.]])
    """

    def numbers(self, shape: tuple[int, int, int]) -> int:
        """How many random numbers an image of this shape (height, width, channels) needs; 0 for none."""
        raise NotImplementedError

    def apply(self, images: Array, uniforms: Float64, fill: float) -> Array:
        """The changed images.

        Parameters
        ----------
        images : ndarray (n, height, width, channels)
            May be changed in place.
        uniforms : float64 ndarray (n, numbers)
            Random numbers in (0, 1).
        fill : float
            The value of pixels of which nothing is known.
        """
        raise NotImplementedError

    def check(self, shape: tuple[int, int, int]) -> None:
        """Raise if it cannot change images of this shape."""


class GeometricTransform(Transform):
    """Base class of transforms that move pixels: affine maps about the center of the image.

    A subclass defines `numbers` and `inverse`. `Augment` composes those that follow each other, so that pixels are
    interpolated once.
    """

    def inverse(self, uniforms: Float64) -> tuple[Float64, Float64]:
        """M (n, 2, 2) and c (n, 2): the pixel at p, (row, column) from the center, comes from M p + c."""
        raise NotImplementedError

    def checked_inverse(self, uniforms: Float64) -> tuple[Float64, Float64]:
        """What `inverse` returns, in float64."""
        what, n = f"{type(self).__name__}.inverse", len(uniforms)
        pair = returned_pair(f"{what} must return a pair, M and c", self.inverse(uniforms))
        matrix = returned(f"{what}, first M,", pair[0], (n, 2, 2)).astype(np.float64, copy=False)
        offset = returned(f"{what}, second c,", pair[1], (n, 2)).astype(np.float64, copy=False)
        if not (np.isfinite(matrix).all() and np.isfinite(offset).all()):
            raise ValueError(f"{what} must return finite numbers, got NaN or infinity")
        return matrix, offset

    def apply(self, images: Array, uniforms: Float64, fill: float) -> Array:
        return _interpolated(images, *self.checked_inverse(uniforms), fill)


class Rotate(GeometricTransform):
    """Rotation about the center, by an angle from U(−degrees, degrees); counterclockwise where it is positive.

    Parameters
    ----------
    degrees : float
        From 0 to 180.

    Examples
    --------
    >>> import nncore as nn
    >>> nn.data.Rotate(15)
    Rotate(degrees=15.0)
    """

    degrees: Number = Number(0, most=180)

    def __init__(self, degrees: float) -> None:
        self.degrees = degrees

    def numbers(self, shape: tuple[int, int, int]) -> int:
        return 1

    def inverse(self, uniforms: Float64) -> tuple[Float64, Float64]:
        angle = np.radians(self.degrees) * (2 * uniforms[:, 0] - 1)
        cos, sin = np.cos(angle), np.sin(angle)
        return np.array([[cos, sin], [-sin, cos]]).transpose(2, 0, 1), np.zeros((len(angle), 2))


def _interval(name: str, value: Any) -> tuple[float, float]:
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise TypeError(f"{name} must be a pair (low, high) of positive numbers, got {shown(value)}")
    low, high = (number(name, end, above=0) for end in value)
    if low > high:
        raise ValueError(f"{name} must be a pair (low, high) with low <= high, got {shown(value)}")
    return low, high


class Stretch(GeometricTransform):
    """Stretching about the center, of height and width independently, by factors whose logarithms are uniformly distributed.

    Parameters
    ----------
    factors : pair of float
        The smallest and the largest: above 1 images become larger, below 1 smaller.

    Examples
    --------
    >>> import nncore as nn
    >>> nn.data.Stretch((0.8, 1.25))
    Stretch(factors=(0.8, 1.25))
    """

    factors: Converted[Sequence[float], tuple[float, float]] = Converted(_interval)

    def __init__(self, factors: Sequence[float]) -> None:
        self.factors = factors

    def numbers(self, shape: tuple[int, int, int]) -> int:
        return 2

    def inverse(self, uniforms: Float64) -> tuple[Float64, Float64]:
        low, high = self.factors
        shrinking = (low / high) ** uniforms / low
        return shrinking[:, :, np.newaxis] * np.eye(2), np.zeros(uniforms.shape)


class Shift(GeometricTransform):
    """Shift by whole pixels, down and right, each from −pixels to pixels with equal probabilities.

    Parameters
    ----------
    pixels : int

    Examples
    --------
    >>> import nncore as nn
    >>> nn.data.Augment([nn.data.Shift(1)], (2, 3))([[1, 2, 3, 4, 5, 6]])
    array([[2., 3., 0., 5., 6., 0.]])
    """

    pixels: Count = Count(0)

    def __init__(self, pixels: int) -> None:
        self.pixels = pixels

    def numbers(self, shape: tuple[int, int, int]) -> int:
        return 2

    def inverse(self, uniforms: Float64) -> tuple[Float64, Float64]:
        shift = np.floor(uniforms * (2 * self.pixels + 1)) - self.pixels
        return np.broadcast_to(np.eye(2), (len(shift), 2, 2)), -shift


class PixelNoise(Transform):
    """Noise: x ← x + N(0, std²), independently for each pixel and channel. Values are not clipped.

    Parameters
    ----------
    std : float
        In the unit of the pixels.

    Examples
    --------
    >>> import nncore as nn
    >>> nn.data.PixelNoise(0.1)
    PixelNoise(std=0.1)
    """

    std: Number = Number(0)

    def __init__(self, std: float) -> None:
        self.std = std

    def numbers(self, shape: tuple[int, int, int]) -> int:
        return math.prod(shape)

    def apply(self, images: Array, uniforms: Float64, fill: float) -> Array:
        from scipy.special import ndtri  # only now: SciPy is slow to import

        images += self.std * ndtri(uniforms).reshape(images.shape)
        return images


class Occlude(Transform):
    """A square at a random place within the image is covered: its pixels become ``fill``.

    Parameters
    ----------
    size : int
        Its side, in pixels.

    References
    ----------
    DeVries, Taylor: Improved regularization of convolutional neural networks with cutout (2017), where the square may reach
    beyond the image.

    Examples
    --------
    >>> import numpy as np
    >>> import nncore as nn
    >>> nn.data.Augment([nn.data.Occlude(2)], (3, 3))(np.ones((1, 9))).reshape(3, 3)
    array([[0., 0., 1.],
           [0., 0., 1.],
           [1., 1., 1.]])
    """

    size: Count = Count()

    def __init__(self, size: int) -> None:
        self.size = size

    def check(self, shape: tuple[int, int, int]) -> None:
        if self.size > min(shape[:2]):
            raise ValueError(f"size of Occlude must be at most {min(shape[:2])}, that of the image, got {self.size}")

    def numbers(self, shape: tuple[int, int, int]) -> int:
        return 2

    def apply(self, images: Array, uniforms: Float64, fill: float) -> Array:
        rows, columns = (self._covered(uniforms[:, [axis]], images.shape[1 + axis]) for axis in (0, 1))
        images[rows[:, :, np.newaxis] & columns[:, np.newaxis]] = fill
        return images

    def _covered(self, uniforms: Float64, length: int) -> NDArray[np.bool_]:
        """Which of the rows, or of the columns, are covered: (n, length)."""
        place = np.arange(length) - np.floor(uniforms * (length - self.size + 1))
        return (place >= 0) & (place < self.size)


TRANSFORMS = {cls.__name__: cls for cls in classes(Transform, __name__) if cls is not GeometricTransform}


def _image_shape(name: str, value: Any) -> tuple[int, ...]:
    if not isinstance(value, (tuple, list)) or len(value) not in (2, 3):
        raise TypeError(f"{name} must be (height, width) or (height, width, channels), got {shown(value)}")
    return tuple(count(name, length) for length in value)


class Augment(Value):
    """Random changes of the images of a training, others in each epoch: ``trainer.fit(X, y, augment=...)``.

    The changes are made one after the other, in the order given. They depend only on the seed, the epoch and the number of the
    example, not on batches, the order of the examples or the number of threads. Rotations, stretchings and shifts that follow
    each other are one affine map, and each pixel is interpolated linearly between four.

    Parameters
    ----------
    transforms : list of Transform
        `Rotate`, `Stretch`, `Shift`, `PixelNoise`, `Occlude`, or transforms of your own.
    image_shape : (height, width) or (height, width, channels)
        Of an example, whose numbers are in this order, row by row.
    fill : float, default 0.0
        The value of pixels that come from outside of the image or are covered: that of the background.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another kind or out of its range, or a transform does not fit the shape.

    Examples
    --------
    >>> import numpy as np
    >>> import nncore as nn
    >>> rng = np.random.default_rng(0)
    >>> X = rng.random((100, 64), dtype=np.float32)
    >>> y = (X[:, :32].mean(axis=1) > X[:, 32:].mean(axis=1)).astype(int)
    >>> augment = nn.data.Augment([nn.data.Shift(1), nn.data.PixelNoise(0.05)], image_shape=(8, 8))
    >>> model = nn.Sequential([nn.Dense(16), nn.ReLU(), nn.Dense(2)], input_shape=64)
    >>> trainer = nn.Trainer(model, "softmax_cross_entropy", seed=3)
    >>> history = trainer.fit(X, y, augment=augment, epochs=5, verbose=0)

    What the third epoch has shown the network of the first two examples:

    >>> augment(X[:2], seed=3, epoch=3).shape
    (2, 64)
    """

    transforms: ListOf[Transform, Transform] = ListOf(Instance(Transform))
    image_shape: Converted[Sequence[int], tuple[int, ...]] = Converted(_image_shape)
    fill: Number = Number()

    def __init__(self, transforms: Sequence[Transform], image_shape: Sequence[int], fill: float = 0.0) -> None:
        self.transforms, self.image_shape, self.fill = transforms, image_shape, fill

    def check_fields(self, assigned: Any) -> None:
        self.check()

    def check(self) -> None:
        """Raise unless each of the transforms fits the images; they may have changed."""
        for transform in self.transforms:
            transform.check(self._shape)

    @property
    def _shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        height, width, *channels = self.image_shape
        return height, width, math.prod(channels)

    def __call__(self, X: Any, seed: int = 0, epoch: int = 1, indices: Any = None) -> Array:
        """The images as an epoch of a training shows them.

        Parameters
        ----------
        X : array_like, ``(n, pixels)`` or ``(n, *image_shape)``
        seed : int, default 0
            That of the trainer.
        epoch : int, default 1
            Counted from 1.
        indices : array_like (n,) of int, optional
            The numbers of the examples in the training data; default 0, 1, 2, …

        Returns
        -------
        ndarray, of the shape of X
            float32 if X is, else float64.

        Raises
        ------
        TypeError, ValueError
            If X does not hold finite numbers of images of this shape, or another argument is out of its range.
        """
        array = as_numbers(X, "X")
        pixels = math.prod(self.image_shape)
        if array.shape[1:] not in ((pixels,), self.image_shape):
            raise ValueError(f"X must have shape (n, {pixels}), images of shape {self.image_shape}, got {array.shape}")
        check_finite(array, "X")
        seed, epoch = count("seed", seed, 0, below=2**64), count("epoch", epoch, below=2**63)
        examples = np.arange(len(array)) if indices is None else _indices(indices, len(array))
        self.check()
        result = np.empty(array.shape, np.float32 if array.dtype == np.float32 else np.float64)
        for part in self.parts(len(array)):
            images = convert(array[part], result.dtype)
            result[part] = self.changed(images, seed, epoch, examples[part]).reshape(images.shape)
        return result

    def parts(self, n: int) -> list[slice]:
        """Slices of n images, for each call of `changed`."""
        step = max(1, PIXELS // math.prod(self.image_shape))
        return [slice(start, start + step) for start in range(0, n, step)]

    def changed(self, X: Array, seed: int, epoch: int, examples: Int64) -> Array:
        """(n, pixels) from images X, (n, ...), of either dtype, which are left as they are."""
        shape, fill = self._shape, self.fill
        images = np.array(X, order="C").reshape(-1, *shape)
        maps: list[tuple[Float64, Float64]] = []  # of geometric transforms in a row
        for place, transform in enumerate(self.transforms):
            name = type(transform).__name__
            numbers = count(f"{name}.numbers, what it returns,", transform.numbers(shape), 0)
            uniforms = _uniforms(seed, epoch, place, examples, numbers)
            if isinstance(transform, GeometricTransform) and type(transform).apply is GeometricTransform.apply:
                maps.append(transform.checked_inverse(uniforms))
                continue
            if maps:
                images, maps = _interpolated(images, *_composed(maps), fill), []
            made = transform.apply(images, uniforms, fill)
            images = convert(returned(f"{name}.apply", made, images.shape), images.dtype)
        if maps:
            images = _interpolated(images, *_composed(maps), fill)
        return images.reshape(len(images), -1)


def _indices(values: Any, n: int) -> Int64:
    array = as_numbers(values, "indices")
    if array.shape != (n,) or array.dtype.kind not in "iu" or (n and not 0 <= array.min() <= array.max() < 2**63):
        raise ValueError(f"indices must be {n} integers of at least 0, one for each row of X, got {shown(values)}")
    return array.astype(np.int64)


def _uniforms(seed: int, epoch: int, place: int, examples: Int64, numbers: int) -> Float64:
    """(len(examples), numbers) in (0, 1): each is a function of (seed, epoch, place, example, number) alone.

    Philox4x64-10 of the key (seed, epoch): the numbers of an example take blocks of four at its place in the stream.
    """
    blocks = -(-numbers // 4)
    words = np.empty((len(examples), 4 * blocks), np.uint64)
    counter = np.array([0, place, 0, STREAM], dtype=np.uint64)
    generator, position = np.random.Philox(key=np.array([seed, epoch], dtype=np.uint64), counter=counter), 0
    starts = np.flatnonzero(np.diff(examples, prepend=-2) != 1).tolist()  # of runs of consecutive examples
    for start, end in zip(starts, [*starts[1:], len(examples)], strict=True):
        generator.advance((int(examples[start]) - position) * blocks)
        words[start:end] = generator.random_raw((end - start) * 4 * blocks).reshape(end - start, 4 * blocks)
        position = int(examples[end - 1]) + 1
    return ((words[:, :numbers] >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def _composed(maps: Sequence[tuple[Float64, Float64]]) -> tuple[Float64, Float64]:
    """Where a pixel comes from, M p + c, if these maps follow each other: the last one is traced back first."""
    matrix, offset = maps[-1]
    for first, shift in reversed(maps[:-1]):
        matrix, offset = np.einsum("nij,njk->nik", first, matrix), np.einsum("nij,nj->ni", first, offset) + shift
    return matrix, offset


def _interpolated(images: Array, matrix: Float64, offset: Float64, fill: float) -> Array:
    """Images (n, h, w, channels) whose pixel at p comes from M p + c, both from the center; linear between four pixels.

    As SciPy's ``ndimage.affine_transform(order=1, mode="grid-constant", cval=fill)`` of each image, all at once.
    """
    n, height, width, channels = images.shape
    middle = (height - 1) / 2, (width - 1) / 2
    place = np.array(np.divmod(np.arange(height * width), width), dtype=images.dtype)
    row, column = place - np.array(middle, dtype=images.dtype)[:, np.newaxis]  # of each pixel, from the center
    matrix, offset = matrix.astype(images.dtype), offset.astype(images.dtype)
    around = np.full((n, height + 3, width + 3, channels), fill, images.dtype)  # one pixel before, two behind
    around[:, 1:-2, 1:-2] = images
    pixels = around.reshape(-1, channels) if channels > 1 else around.reshape(-1)
    first = np.arange(n)[:, np.newaxis] * ((height + 3) * (width + 3))
    weights = []
    for axis, (length, stride) in enumerate(((height, width + 3), (width, 1))):
        place = matrix[:, axis, :1] * row + matrix[:, axis, 1:] * column  # (n, h w)
        place += offset[:, axis, np.newaxis] + middle[axis]
        below = np.floor(np.clip(place, -1, length, out=place))
        first = first + (below.astype(np.int64) + 1) * stride
        place -= below
        weights.append(place[:, :, np.newaxis] if channels > 1 else place)
    across = []
    for at in (first, first + (width + 3)):
        left = pixels.take(at, axis=0)
        across.append(left + weights[1] * (pixels.take(at + 1, axis=0) - left))
    return np.asarray(across[0] + weights[0] * (across[1] - across[0])).reshape(images.shape)
