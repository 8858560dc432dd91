"""
On small data a second-order method wins by far; on larger data mini-batches do
===============================================================================

Two problems, each with gradient and second-order methods: a sine curve of 200 points (61 weights), and 17,970 noisy copies of handwritten digits (2410
weights). The loss is drawn against the time, as no other measure is fair to all: a Hessian product, a line search and a mini-batch do not cost the same.

**What you see.** On the sine, Levenberg-Marquardt ends more than ten times lower than Adam and L-BFGS. On the digits Adam on batches of 32 is at a low loss
before the others have taken a few steps: it takes 562 steps while they read all images for one.

**What to conclude.** The lecture's rule holds: traditional optimization for small data, stochastic gradients for large. Where the boundary lies depends on how
low the loss must be: with the 1797 digits alone (``COPIES = 1``) Adam leads only to a loss of 0.03, which is enough to read them, and then L-BFGS falls
to 1e-10, which is what fitting measurements needs.

**Try next.** ``COPIES = 1``. The sine with ``"layers": (100, 1)``: Levenberg-Marquardt solves with a matrix of 301 × 301 in every iteration.

:Slide: Deck 004, *Small data: traditional optimization; large data: stochastic gradient descent*
"""

import time

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn
from nncore.second_order import LBFGS, LevenbergMarquardt, TruncatedNewton

plt.style.use("nncore.slide")

SECONDS, MOST, COPIES = 2.0, 20_000, 10

# %%
# Two problems
# ------------

x = np.linspace(-np.pi, np.pi, 200)[:, None]
X, y = nn.data.load_digits()
digits = np.repeat(X, COPIES, axis=0) + np.random.default_rng(0).normal(0, 0.3, (COPIES * len(X), 64)), np.repeat(y, COPIES)
sine = {"layers": (20, 1), "data": (x, np.sin(x)), "loss": "mean_squared_error"}
reading = {"layers": (32, 10), "data": digits, "loss": "softmax_cross_entropy"}


class Clock(nn.Callback):
    """Stops after SECONDS; ``times`` has the seconds at the end of each epoch."""

    def on_train_begin(self, trainer):
        self.begin, self.times = time.perf_counter(), []

    def on_epoch_end(self, trainer, epoch, row):
        self.times.append(time.perf_counter() - self.begin)
        trainer.stop_training = self.times[-1] > SECONDS


def run(problem, optimizer, batch):
    X, y = problem["data"]
    hidden, outputs = problem["layers"]
    model = nn.Sequential([nn.Dense(hidden), nn.Tanh(), nn.Dense(outputs)], X.shape[1:], dtype="float64", seed=0)
    trainer = nn.Trainer(model, problem["loss"], optimizer)
    clock = Clock()
    history = trainer.fit(X, y, epochs=MOST, batch_size=batch or len(X), exact_loss=True, callbacks=[clock], verbose=0)
    return np.array(clock.times), history["loss"]


# %%
# The same seconds for each
# -------------------------

figure, axes = plt.subplots(1, 2, figsize=(11, 4.4))
for ax, problem, title, runs in (
    (axes[0], sine, "Sine, 200 points: second order", {"Adam": (nn.Adam(lr=0.01), None), "LBFGS": (LBFGS(), None), "LevenbergMarquardt": (LevenbergMarquardt(), None)}),
    (axes[1], reading, f"Digits, {len(digits[0]):,} images: mini-batches", {"Adam, batch 32": (nn.Adam(lr=3e-3), 32), "LBFGS": (LBFGS(), None), "TruncatedNewton": (TruncatedNewton(), None)}),
):  # fmt: skip
    for name, (optimizer, batch) in runs.items():
        times, loss = run(problem, optimizer, batch)
        print(f"{title[:6]} {name:<20} {len(loss):6} epochs in {times[-1]:.1f} s, loss {loss[-1]:.2g}")
        ax.loglog(times, np.minimum.accumulate(loss), color=nn.figures.colors([name])[name], label=name)
    ax.set(xlabel="seconds", ylabel="lowest loss so far", title=title)
    nn.figures.label_ends(ax, fontsize=11)
plt.show()
