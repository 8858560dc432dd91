"""The fully connected layer on sparse data."""

from __future__ import annotations

from itertools import pairwise
from operator import attrgetter

import numpy as np

from nncore._kernels.program import MOST_PANEL
from nncore.data.sparse import SHARDS
from nncore.layers.base import Array
from nncore.layers.dense import Dense
from nncore.layers.products import Products
from nncore.program.ops import CSR, Op, Signal, SparseWeights
from nncore.program.tape import TangentTape, Tape

__all__ = ["SparseDense"]

TYPICAL_NUMBERS = 100  # of a row: how many it has is not known when a program is compiled
WORK = 50  # floating-point operations of a dense product that take as long as finding one number
SHARDED_FROM = 30 * TYPICAL_NUMBERS  # numbers and units of a batch from which on several threads share the gradient
FEW_UNITS = 16
TOUCHED_COST = 1000.0  # of a shard, in multiply-adds


class SparseDense(Dense):
    """Fully connected first layer on sparse data: z = x Wᵀ + b, of which only the numbers of x that are kept are read.

    It computes what `Dense` does, with the same bits, in time that grows with the numbers kept and not with the width of x: for
    documents of 76 words out of 47,152 some fifty times faster. W lies in memory by inputs, so that what belongs to a word lies
    together; ``weight`` is the usual (units, inputs) view. The backward pass computes ∂l/∂W = δᵀ x only where the batch has
    numbers.

    With an optimizer that leaves a parameter without a gradient as it is (`SGD`, `AdaGrad`, `FTRL`, `LazyAdam`), a step
    changes only the columns of W that the batch has. Penalties of `SGD` (`L2`, `L1`, `ElasticNet`), `ProximalL1`, `WeightDecay`
    and averages (`EMA`, `PolyakAveraging`) change the others too: these are caught up with the steps that they missed, in
    closed form, before a step reads them, and at the end of each epoch; with `L1`, whose steps cross 0, and a learning rate
    that changes in every step, one by one: take `ProximalL1`. Other optimizers, such as `Momentum` and `Adam`, change every
    weight in every step, which then takes the time of all weights. So it does with noise on gradients, `NonNegative`,
    ``accumulate``, and L1 or L2 with ``clip``; and where a batch has numbers for most inputs, as that is faster: the results
    are the same. Constraints of units, such as `MaxNorm`, are refused.

    Parameters
    ----------
    units, weight_init, bias_init, bias, name : as for `Dense`

    Notes
    -----
    X is a sparse matrix or array of SciPy; dense rows are made sparse. With a penalty that is caught up, ``running_penalty``, a
    part of ``running_loss``, is that at the end of the epoch, not a mean over its steps.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse
    >>> import nncore as nn
    >>> X = scipy.sparse.random_array((500, 2000), density=0.01, format="csr", rng=0)
    >>> y = X[:, :1000].sum(axis=1) > X[:, 1000:].sum(axis=1)
    >>> model = nn.Sequential([nn.SparseDense(1)], input_shape=2000)
    >>> trainer = nn.Trainer(model, "sigmoid_cross_entropy", nn.AdaGrad(lr=0.1), metrics=["accuracy"])
    >>> history = trainer.fit(X, y, epochs=20, batch_size=16, verbose=0)
    >>> bool(history["running_accuracy"][-1] > 0.98)
    True
    """

    reads_sparse = True

    def build(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        shape = super().build(input_shape)
        if self.inputs >= 2**31:
            raise ValueError(f"input_shape must be below 2**31 for {self.label}, got {self.inputs}")
        self.parameters["weight"] = self.parameters["weight"]._replace(by_column=True)
        return shape

    def emit(self, tape: Tape, x: Signal) -> Signal:
        y = tape.signal(str(self.name), self.output_shape)
        W = self._locate(tape)
        tape.forward.add(self._product(y.value, W.weight, W, self.bias if self.has_bias else None))
        tape.flops_per_row += TYPICAL_NUMBERS * (WORK + 2 * self.units)
        if x.grad is not None:  # dense: y.grad W, a forward product with Wᵀ
            arrays, panels = (x.grad, y.grad, W.weight, None), -(-self.inputs // MOST_PANEL)
            swapped = (self.inputs, self.units, 0, MOST_PANEL)
            tape.backward.tiles("dense_forward_direct", *arrays, sizes=swapped, work_items=panels)
        tape.gradient(self._touched_gradient(tape, y.grad, W) if tape.touched_only else self._gradient(y.grad, W))
        products = Products(tape, self.units, self.inputs)
        if self.has_bias:
            tape.gradient(products.bias_gradient(self.bias_grad, y.grad, self.parameters["bias"]))
        if isinstance(tape, TangentTape):
            self._emit_sparse_tangent(tape, y, W, products)
        return y

    def _locate(self, tape: Tape) -> SparseWeights:
        """Record where each row's numbers lie."""
        sharded = tape.gradients and tape.capacity * (WORK + self.units) >= SHARDED_FROM
        few = self.units < FEW_UNITS  # then it takes as long to find a shard in a row as to add its numbers
        shards = SHARDS // (1 + few) if sharded else 1
        even = np.arange(shards + 1, dtype=np.int64) * self.inputs // shards
        bounds = attrgetter("wide_bounds" if few else "bounds") if sharded and tape.touched_only else lambda _: even
        places = tape.arena.take((tape.capacity, shards + 1), np.int64)
        tape.reading = Op("rows", "csr_locate", (places, *[None] * 4), data=tuple(enumerate((*CSR, bounds), 1)))
        tape.sparse = SparseWeights(self.weight.T, self.parameters["weight"].offset, places, bounds)
        return tape.sparse

    def _product(self, y: Array, weight: Array, W: SparseWeights, bias: Array | None) -> Op:
        """y = x Wᵀ + b."""
        arrays = (y, None, None, W.places, weight, bias)
        return Op("rows", "csr_forward", arrays, (self.units, self.inputs), data=tuple(enumerate(CSR[:2], 1)))

    def _gradient(self, dy: Array | None, W: SparseWeights, gradient: Array | None = None) -> Op:
        """dW = dyᵀ x, also where it is 0."""
        g, even = self.weight_grad.T if gradient is None else gradient, W.bounds(None)
        tiles = [(W.offset + a * self.units, b - a, self.units, self.units) for a, b in pairwise(even.tolist())]
        arrays, cost = (g, dy, None, None, W.places, even), [TOUCHED_COST] * W.shards
        data = tuple(enumerate(CSR[:2], 2))
        return Op("tiles", "csr_backward_weight", arrays, (self.units, self.inputs), cost=cost, tiles=tiles, data=data)

    def _touched_gradient(self, tape: Tape, dy: Array | None, W: SparseWeights) -> Op:
        """dW = dyᵀ x where the batch has numbers; the other ops of a tile get a list of these inputs."""
        g, take, cost = self.weight_grad.T, tape.arena.take, [TOUCHED_COST] * W.shards
        tape.touched, rows = take((W.shards, 2), np.int64), take(self.inputs + W.shards, np.int32)
        place, stale = take(self.inputs, np.int32), take(self.inputs, np.uint8)
        tiles = [(W.offset, -1 - shard, self.units, self.units) for shard in range(W.shards)]
        bounds = ((3, W.bounds),)
        tape.prepare.add(Op("tiles", "csr_begin", (tape.touched, place, stale, None), cost=cost, data=bounds))
        tape.settle.add(Op("tiles", "csr_settle", (g, place, stale, None), (self.units,), cost=cost, data=bounds))
        arrays = (g, tape.touched, rows, place, stale, dy, None, None, W.places, None)
        data, sizes = (*enumerate(CSR[:2], 6), (9, W.bounds)), (self.units, self.inputs)
        return Op("tiles", "csr_backward_touched", arrays, sizes, cost=cost, tiles=tiles, data=data, tile_local=True)

    def _emit_sparse_tangent(self, tape: TangentTape, y: Signal, W: SparseWeights, products: Products) -> None:
        """R{y} = x Vᵀ + v_b,  R{dW} = R{dy}ᵀ x: the data have no tangent."""
        ty, tdy = tape.tangent_signal(y)
        v_b = tape.direction(self.bias) if self.has_bias else None
        tape.tangent_forward.add(self._product(ty, tape.direction(W.weight), W, v_b))
        product = tape.product(self.weight_grad.T)
        tape.tangent_gradients.add(self._gradient(tdy, W, product))
        if self.has_bias:
            tape.tangent_gradients.add(products.bias_gradient(tape.product(self.bias_grad), tdy, self.parameters["bias"]))
