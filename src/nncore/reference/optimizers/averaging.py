"""What wrappers do beside the step of the optimizer: averages of the parameters over the steps, decoupled decay."""

from ._common import Array, store

__all__ = ["average", "decay"]


def average(average: Array, theta: Array, weight: float) -> bool:
    """a ← a + w(θ − a), the average after the step that made θ.

    w = (1−d)/(1−dᵗ) makes it an exponential mean with corrected bias, w = 1/t the mean of all θ.

    Polyak, Juditsky: Acceleration of stochastic approximation by averaging, 1992.

    >>> import numpy as np
    >>> a = np.zeros(1)
    >>> for t, theta in enumerate((5.0, 3.0, 1.0, 3.0), 1):
    ...     assert not average(a, np.array([theta]), 1 / t)
    >>> float(a[0].round(12))
    3.0
    """
    return store((average, (1 - weight) * average + weight * theta))


def decay(theta: Array, rate: float) -> bool:
    """θ ← θ − ηλθ, before the step; the rate is ηλ.

    Loshchilov, Hutter: Decoupled weight decay regularization, 2019.

    >>> import numpy as np
    >>> theta = np.array([4.0])
    >>> decay(theta, 0.25), theta.tolist()
    (False, [3.0])
    """
    return store((theta, theta - rate * theta))
