"""The inputs of a training whose images are changed anew in each epoch."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock, get_ident
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore import _kernels
from nncore._utils.checks import as_numbers, convert
from nncore.data.augmentation import Augment
from nncore.model.sequential import Sequential

__all__ = ["AugmentedRows"]

Array = NDArray[Any]


class AugmentedRows:
    """The images of an epoch, scaled as the model scales them: an array of the size of X.

    Attributes
    ----------
    rows : ndarray (n, width)
        Of the epoch that was made last; only those of the examples asked for are set.
    """

    def __init__(self, augment: Augment, model: Sequential, X: Any) -> None:
        self.augment, self.model, self.images = augment, model, as_numbers(X, "X")
        pixels = int(np.prod(augment.image_shape))
        if self.images.shape[1:] not in ((pixels,), augment.image_shape):
            raise ValueError(
                f"X must have shape (n, {pixels}), images of the shape of augment, {augment.image_shape}, got "
                f"{self.images.shape}"
            )
        self.rows = np.empty((len(self.images), pixels), model.dtype)

    def make(self, chosen: Array | None, seed: int, epoch: int, stop: Callable[[], bool], helpers: set[int]) -> bool:
        """Make the rows of an epoch, counted from 1; False if ``stop`` has ended that. ``chosen``: of some examples only.

        ``helpers`` has the threads that do so meanwhile.
        """
        self.augment.check()
        examples = np.arange(len(self.rows)) if chosen is None else np.sort(chosen)
        scaling = Lock()

        def change(part: slice) -> None:
            if stop():
                return
            own = examples[part]
            images = convert(self.images[own], self.model.dtype)
            changed = self.augment.changed(images, seed, epoch, own).reshape(images.shape)
            with scaling:  # of which some use a BLAS
                self.rows[own] = self.model.input_rows(changed, "X, changed by augment,")

        parts = self.augment.parts(len(examples))
        threads = min(_kernels.get_num_threads(), len(parts))
        if threads == 1:
            for part in parts:
                change(part)
        else:
            try:
                with ThreadPoolExecutor(threads, "nncore-augment", lambda: helpers.add(get_ident())) as pool:
                    for _ in pool.map(change, parts):
                        pass
            finally:
                helpers.clear()
        return not stop()
