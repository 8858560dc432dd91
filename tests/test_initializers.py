import json
import math

import numpy as np
import pytest

from nncore import initializers
from nncore.initializers import INITIALIZERS, Initializer
from nncore.layers import Dense

SHAPE = (300, 500)  # n_out, n_in

# name → variance of the weights for (n_in, n_out)
VARIANCE = {
    "normal": lambda n_in, n_out: 0.05**2,
    "uniform": lambda n_in, n_out: 0.05**2 / 3,
    "lecun_normal": lambda n_in, n_out: 1 / n_in,
    "lecun_uniform": lambda n_in, n_out: 1 / n_in,
    "fan_out_normal": lambda n_in, n_out: 1 / n_out,
    "glorot_normal": lambda n_in, n_out: 2 / (n_in + n_out),
    "glorot_uniform": lambda n_in, n_out: 2 / (n_in + n_out),
    "sigmoid_uniform": lambda n_in, n_out: 32 / (n_in + n_out),
    "he_normal": lambda n_in, n_out: 2 / n_in,
    "he_uniform": lambda n_in, n_out: 2 / n_in,
    "orthogonal": lambda n_in, n_out: 1 / max(n_in, n_out),
}
BOUND = {
    "uniform": 0.05,
    "lecun_uniform": math.sqrt(3 / 500),
    "glorot_uniform": math.sqrt(6 / 800),
    "sigmoid_uniform": 4 * math.sqrt(6 / 800),
    "he_uniform": math.sqrt(6 / 500),
}


def make(name):
    return initializers.get(name)


def draw(name, shape=SHAPE, seed=0, dtype="float64"):
    return make(name)(shape, np.random.default_rng(seed), dtype)


def test_every_random_initializer_has_its_variance_in_the_table():
    assert set(INITIALIZERS) == set(VARIANCE) | {"zeros", "constant"}


@pytest.mark.parametrize("name", VARIANCE)
@pytest.mark.parametrize("shape", [SHAPE, (500, 300)])
def test_moments(name, shape):
    """Mean and variance of N values lie within five standard errors of the theory: a false alarm in 1e6 seeds."""
    n_out, n_in = shape
    variance = VARIANCE[name](n_in, n_out)
    w = draw(name, shape)
    kurtosis = 9 / 5 if name in BOUND else 3
    assert abs(w.mean()) < 5 * math.sqrt(variance / w.size)
    assert abs((w**2).mean() / variance - 1) < 5 * math.sqrt((kurtosis - 1) / w.size)


@pytest.mark.parametrize("name", sorted(set(VARIANCE) - set(BOUND) - {"orthogonal"}))
def test_normal_initializers_are_not_truncated(name):
    w = draw(name) / math.sqrt(VARIANCE[name](500, 300))
    beyond = (abs(w) > 2).mean()
    p = math.erfc(math.sqrt(2))
    assert abs(beyond - p) < 5 * math.sqrt(p * (1 - p) / w.size)


@pytest.mark.parametrize("name", BOUND)
def test_uniform_stays_in_its_bounds_and_reaches_them(name):
    w = draw(name)
    s = BOUND[name]
    assert -s <= w.min() < -s * (1 - 1e-3)
    assert s * (1 - 1e-3) < w.max() <= s


def test_zeros_and_constant():
    assert not draw("zeros").any()
    assert (initializers.Constant(0.25)((3, 4), np.random.default_rng(0)) == 0.25).all()


@pytest.mark.parametrize("shape", [(7, 7), (40, 90), (90, 40), (1, 5), (5, 1), (1, 1)])
@pytest.mark.parametrize("gain", [1.0, 2.5])
def test_orthogonal(shape, gain):
    w = initializers.Orthogonal(gain)(shape, np.random.default_rng(3), "float64")
    gram = w @ w.T if shape[0] <= shape[1] else w.T @ w
    assert w.shape == shape
    assert w.flags.c_contiguous
    np.testing.assert_allclose(gram, gain**2 * np.eye(min(shape)), rtol=0, atol=1e-12)


def test_orthogonal_is_uniform():
    """Haar: the trace of Q has mean 0 and mean square 1; without the signs of R its mean is far from 0."""
    rng = np.random.default_rng(0)
    traces = np.array([np.trace(initializers.Orthogonal()((2, 2), rng, "float64")) for _ in range(1000)])
    assert abs(traces.mean()) < 5 / math.sqrt(1000)
    assert abs((traces**2).mean() - 1) < 5 * traces.var() / math.sqrt(1000) * 2


def test_orthogonal_bits_do_not_depend_on_threads():
    threadpoolctl = pytest.importorskip("threadpoolctl")
    results = []
    for threads in (1, 2):
        with threadpoolctl.threadpool_limits(threads):
            results.append(draw("orthogonal", (300, 200)))
    assert (results[0] == results[1]).all()


@pytest.mark.parametrize("name", ["normal", "uniform", "he_normal"])
def test_random_rows_tend_to_orthogonal(name):
    """Mean |cos| of two random rows of length n tends to √(2/(πn))."""
    for n in (100, 400, 1600):
        w = draw(name, (200, n))
        w /= np.linalg.norm(w, axis=1, keepdims=True)
        cosines = abs((w @ w.T)[np.triu_indices(200, 1)])
        expected = math.sqrt(2 / (math.pi * n))
        # |cos|·√n is nearly |N(0, 1)|, of variance 1 − 2/π; pairs are uncorrelated; the last term: O(1/n)
        assert abs(cosines.mean() - expected) < 5 * math.sqrt((1 - 2 / math.pi) / n / cosines.size) + expected / n


@pytest.mark.parametrize("name", INITIALIZERS)
def test_deterministic_and_float32_is_rounded_float64(name):
    a, b, c = draw(name, seed=1), draw(name, seed=1), draw(name, seed=1, dtype=np.float32)
    assert (a == b).all()
    assert (a.dtype, c.dtype) == (np.float64, np.float32)
    assert (a.astype(np.float32) == c).all()
    assert a.shape == SHAPE
    assert a.flags.c_contiguous
    assert a.flags.writeable
    if name in VARIANCE:
        assert (a != draw(name, seed=2)).any()


@pytest.mark.parametrize("name", INITIALIZERS)
def test_default_dtype_is_float32(name):
    assert make(name)((2, 3), np.random.default_rng(0)).dtype == np.float32


@pytest.mark.parametrize("name", INITIALIZERS)
def test_config_repr_and_equality(name):
    a = make(name)
    assert isinstance(a, Initializer)
    assert initializers.get(json.loads(json.dumps(a.config()))) == a
    assert eval(repr(a), vars(initializers)) == a
    assert initializers.get(a) is a


def test_aliases_and_user_functions():
    assert make("xavier_uniform") == initializers.GlorotUniform()
    assert make("xavier_normal") == initializers.GlorotNormal()
    assert make("kaiming_normal") == initializers.HeNormal()
    assert make("kaiming_uniform") == initializers.HeUniform()

    def mine(shape, rng, dtype):
        return np.ones(shape, dtype)

    assert initializers.get(mine) is mine


def test_one_dimensional_shapes_where_no_fan_is_needed():
    rng = np.random.default_rng(0)
    assert initializers.Zeros()(4, rng).shape == initializers.Normal()((4,), rng).shape == (4,)


@pytest.mark.parametrize(("bad", "error", "match"), [
    ("xavier", ValueError, "lecun_normal.*glorot"),
    ("nothing", ValueError, "initializer must be one of constant, .*, got 'nothing'"),
    ({"name": "normal", "mean": 3}, ValueError, "mean"),
    ({"std": 3}, ValueError, "initializer must be one of"),
    (3, TypeError, "initializer must be"),
    (initializers.Normal, TypeError, "object"),
])  # fmt: skip
def test_get_errors(bad, error, match):
    with pytest.raises(error, match=match):
        initializers.get(bad)


@pytest.mark.parametrize(("cls", "value", "error"), [
    (initializers.Normal, -1.0, ValueError),
    (initializers.Normal, math.nan, ValueError),
    (initializers.Uniform, -0.1, ValueError),
    (initializers.Uniform, math.inf, ValueError),
    (initializers.Constant, math.nan, ValueError),
    (initializers.Constant, "1", TypeError),
    (initializers.Orthogonal, math.inf, ValueError),
    (initializers.Normal, True, TypeError),
])  # fmt: skip
def test_bad_arguments(cls, value, error):
    with pytest.raises(error, match="must be"):
        cls(value)


@pytest.mark.parametrize("name", sorted(set(INITIALIZERS) - {"zeros", "constant", "normal", "uniform"}))
@pytest.mark.parametrize("shape", [5, (5,), (2, 3, 4)])
def test_fans_need_two_dimensions(name, shape):
    with pytest.raises(ValueError, match="units, inputs"):
        draw(name, shape)


@pytest.mark.parametrize("name", INITIALIZERS)
def test_bad_call(name):
    rng = np.random.default_rng(0)
    for shape in ((0, 3), (3, -1), ()):
        with pytest.raises(ValueError, match="shape"):
            make(name)(shape, rng)
    with pytest.raises(TypeError, match="rng"):
        make(name)((2, 2), np.random.RandomState(0))
    with pytest.raises(TypeError, match="dtype"):
        make(name)((2, 2), rng, "int32")


def test_a_function_of_shape_and_generator_alone_is_refused():
    with pytest.raises(TypeError, match=r"^weight_init must take \(shape, rng, dtype\), got .*, which takes \(shape, rng\)"):
        Dense(3, weight_init=lambda shape, rng: rng.normal(size=shape))
