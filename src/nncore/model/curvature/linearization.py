"""Programs for curvature products: the forward and backward pass over a batch, kept for many products, and the products.

A step of a product program processes one vector: it loads v, propagates it forward (R{y} of every layer), differentiates
the gradient of the loss, and propagates backward. Many vectors are many steps of one call.
"""

from __future__ import annotations

import math
import time
import weakref
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from nncore import _kernels, losses
from nncore._utils.arrays import Array, same_part
from nncore.data.sparse import Rows
from nncore.losses import Loss, Targets
from nncore.model.network import Network
from nncore.program.autotune import Autotuner
from nncore.program.compiled import Compiled
from nncore.program.ops import Op
from nncore.program.recording import ModelTape
from nncore.program.stages import Stage, parameter_stages, stages
from nncore.program.tape import TangentTape

__all__ = ["CurvatureProgram", "JacobianProgram", "chunk_rows"]

CHUNK_BYTES = 1 << 28  # of signals: a larger batch is processed in chunks
STRETCH = 8192  # numbers of a vector that one work item copies


def chunk_rows(model: Network, rows: int) -> int:
    """Number of rows per chunk. It depends on sizes alone."""
    if any(layer.batch_dependent for layer in model.layers):
        return rows
    width = math.prod(model.input_shape) + 4 * sum(layer.held for layer in model.layers)
    chunks = -(-rows // max(64, CHUNK_BYTES // (width * model.dtype.itemsize)))
    return -(-rows // chunks)


class Paced:
    """A compiled program for many steps, run on the fastest number of threads and 50 ms at a time, so that Ctrl-C works."""

    def __init__(self, compiled: Compiled) -> None:
        self.compiled, self.tuner = compiled, Autotuner(compiled.parallel)

    def run(self, bind: list[tuple[Op, int, Array]], steps: int, **run: Any) -> int:
        """Run these steps; return the number of completed steps."""
        done = last = 0
        while done == last < steps:
            threads, wanted = self.tuner.next_call()
            first, last = done, min(steps, done + wanted)
            start = time.perf_counter()
            completed, _ = self.compiled.run(bind, first_step=first, last_step=last, threads=threads, **run)
            self.tuner.record(threads, last - first, time.perf_counter() - start)
            done = first + completed
        return done


class Linearization:
    """The passes over one chunk at one θ. They are repeated only if the operator, the chunk or θ changes."""

    passes: Paced

    def __init__(self, model: Network, capacity: int, *, sparse: bool, weighted: bool = False) -> None:
        self.model, self.capacity = model, capacity
        self.lock = _kernels.Lock()  # operators may share a linearization: one uses it at a time
        self.tape = TangentTape(model, capacity, weighted=weighted)
        self.recording = ModelTape(model, self.tape, fused=False, sparse=sparse)
        self._owner: Callable[[], object] = lambda: None  # a weak reference: the owner holds its data
        self._chunk: tuple[int, int] = (0, 0)
        self._variant = model.variant
        self._theta, self._state = np.empty_like(model.parameters), np.empty_like(model.state)

    def linearize(
        self, owner: object, rows: Rows, start: int, count: int, scale: float, gathered: Iterable[tuple[Op, int, Array]] = ()
    ) -> None:  # fmt: skip
        """Run the passes over rows [start, start + count) of the owner's data at the model's parameters, if necessary."""
        theta, state = self.model.parameters.copy(), self.model.state.copy()  # another thread may train meanwhile
        if self.model.variant != self._variant:
            raise ValueError("a layer of the model has been frozen or released since the operator was made: make a new one")
        same = np.array_equal(theta, self._theta) and np.array_equal(state, self._state)
        if self._owner() is owner and self._chunk == (start, count) and same:
            return
        self._owner = lambda: None
        bind = [*self.passes.compiled.bind(rows), *gathered]
        if not self.passes.run(bind, 1, examples=count, batch=count, origin=start, scale=scale):
            raise ValueError("the loss is not finite at the model's parameters: it has no curvature there")
        self._theta[...], self._state[...] = theta, state
        if np.array_equal(theta, self.model.parameters) and np.array_equal(state, self.model.state):
            self._owner, self._chunk = weakref.ref(owner), (start, count)


class CurvatureProgram(Linearization):
    """H v or, with ``gauss_newton``, Jᵀ (∂²l/∂y²) J v, added to row s of the products in step s."""

    def __init__(
        self, model: Network, capacity: int, loss: Loss, targets: Targets, *, sparse: bool, weighted: bool, gauss_newton: bool
    ) -> None:  # fmt: skip
        super().__init__(model, capacity, sparse=sparse, weighted=weighted)
        tape, output = self.tape, self.recording.output
        assert output.grad is not None
        assert output.grad_tangent is not None
        self.loss = loss  # the cache identifies it by identity
        self.gathers, loss_op, values = losses.emit_weighted(loss, tape, output, targets)
        passes = [self.recording.gather, *self.gathers, *tape.forward, loss_op]
        if gauss_newton:  # the backward pass is that of a gradient, starting from H_l R{y} instead of ∂l/∂y
            way = [loss.emit_tangent(output, loss_op, output.grad), *_redirected(tape.vector_jacobian, tape, model)]
            gradients: Iterable[Op] = _redirected(tape.parameter_gradients, tape, model)
        else:
            passes += _redirected(tape.backward, tape, model)
            way = [loss.emit_tangent(output, loss_op, output.grad_tangent), *tape.tangent_backward]
            gradients = tape.tangent_gradients
        self.load, load = _load(tape)
        self.add = _add(tape)
        step = [*load, *stages([*tape.tangent_forward, *way]), *parameter_stages(gradients), *stages([self.add])]
        self.passes = Paced(Compiled(tape, stages(passes), before=self.recording.prepare(), records=[values], stops=True))
        self.product = Paced(Compiled(tape, step))

    def add_products(self, rows: Rows, vectors: Array, products: Array, count: int, scale: float) -> None:
        """products += vectors · matrix; both (k, n)."""
        bind = [*self.product.compiled.bind(rows), (self.load, 1, vectors), (self.add, 0, products)]
        self.product.run(bind, len(vectors), examples=count, batch=count, scale=scale)


class JacobianProgram(Linearization):
    """J v by a forward pass, Jᵀ u by a backward pass."""

    def __init__(self, model: Network, capacity: int, *, sparse: bool) -> None:
        super().__init__(model, capacity, sparse=sparse)
        tape, output = self.tape, self.recording.output
        assert output.grad is not None
        self.width = output.width
        self.load, load = _load(tape)
        self.add = _add(tape)
        self.write = Op("rows", "write_rows", (None, output.tangent), (self.width,))
        self.seed = Op("rows", "gather_rows", (output.grad, None), (self.width,))
        back = stages([self.seed, *_redirected(tape.vector_jacobian, tape, model)])
        back += parameter_stages(_redirected(tape.parameter_gradients, tape, model))
        passes = stages([self.recording.gather, *tape.forward])
        self.passes = Paced(Compiled(tape, passes, before=self.recording.prepare()))
        self.push = Paced(Compiled(tape, [*load, *stages([*tape.tangent_forward, self.write])]))
        self.pull = Paced(Compiled(tape, [*back, *stages([self.add])]))

    def write_forward(self, rows: Rows, vectors: Array, out: Array, count: int) -> None:
        """out (k, count, outputs) = J v for each row v of vectors (k, n)."""
        bind = [*self.push.compiled.bind(rows), (self.load, 1, vectors), (self.write, 0, out)]
        self.push.run(bind, len(vectors), examples=count, batch=count)

    def add_backward(self, rows: Rows, seeds: Array, products: Array, count: int) -> None:
        """products (k, n) += Jᵀ u for each u of seeds (k, count, outputs)."""
        order = np.arange(len(seeds) * count)  # epoch e of the run reads rows e · count … of the seeds
        bind = [*self.pull.compiled.bind(rows), (self.seed, 1, seeds.reshape(-1, self.width)), (self.add, 0, products)]
        self.pull.run(bind, len(seeds), examples=count, batch=count, order=order)


def _stretches(n: int) -> dict[str, Any]:
    return {"sizes": (n, STRETCH), "cost": [float(STRETCH)] * -(-n // STRETCH)}


def _load(tape: TangentTape) -> tuple[Op, list[Stage]]:
    """Ops for v = V[step] and data derived from v."""
    v = tape.direction_vector
    op = Op("tiles", "load_direction", (v, None), **_stretches(v.size))
    return op, [*stages([op]), *parameter_stages(tape.tangent_prepare)]


def _add(tape: TangentTape) -> Op:
    """Op for P[step] += product."""
    return Op("tiles", "add_product", (None, tape.product_vector), **_stretches(tape.product_vector.size))


def _redirected(ops: Iterable[Op], tape: TangentTape, model: Network) -> list[Op]:
    """The ops, writing to the product instead of the model's gradients."""
    own = model.gradients
    first = own.__array_interface__["data"][0]

    def moved(array: Any) -> Any:
        inside = isinstance(array, np.ndarray) and first <= array.__array_interface__["data"][0] < first + own.nbytes
        return same_part(array, own, tape.product_vector) if inside else array

    return [replace(op, arrays=tuple(moved(array) for array in op.arrays)) for op in ops]
