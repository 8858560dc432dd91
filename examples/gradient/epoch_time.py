"""A batch of 32 costs far less time than 32 single examples
===========================================================

An epoch reads each of 2048 examples once. With batches of q examples it has 2048/q steps; here it is timed for every q, for a small and for a larger network.
The numbers are those of the machine that built this page.

**What you see.** Left: at first a step takes hardly longer for more examples; later its time grows in proportion to q, along the dotted line but far below it.
Right: the time per example falls, several-fold for both networks, and is level from about q = 32 on. The time of an epoch is 2048 times that.

**What to conclude.** A step has a fixed cost: it reads and writes all weights, and sets up its work. A batch shares it, and matrix products use the
processor's vector units and cache, which single rows cannot. That is why mini-batches are used at all. Larger batches than the machine needs cost time
per step and give nothing back, except a better gradient (:doc:`gradient_noise`). "As cheap as a single one" holds here up to 2 or 4 examples; on a GPU,
with thousands of arithmetic units to fill, up to hundreds.

**Try next.** Set ``HIDDEN`` to ``{"2 layers of 1024": 1024}``. Where does the curve become level?

:Slide: Deck 000, *Batch gradient descent* (single points underuse the hardware); deck 003, *SGD: disadvantages*; deck 004, *Why do batching?*
"""

import time

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

N, REPEATS = 2048, 5
SIZES = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048]
HIDDEN = {"2 layers of 64": 64, "2 layers of 256": 256}

# %%
# The time of an epoch
# --------------------
# The best of ``REPEATS`` epochs, after one that compiles and warms up.

rng = np.random.default_rng(0)
X, y = rng.standard_normal((N, 64), dtype="float32"), rng.integers(0, 10, N)


def epoch_time(units, q):
    model = nn.Sequential([nn.Dense(units), nn.ReLU(), nn.Dense(units), nn.ReLU(), nn.Dense(10)], input_shape=64, seed=0)
    trainer, times = nn.Trainer(model, "softmax_cross_entropy", nn.SGD(lr=1e-3)), []
    for _ in range(1 + REPEATS):
        start = time.perf_counter()
        trainer.fit(X, y, batch_size=q, verbose=0)
        times.append(time.perf_counter() - start)
    return min(times[1:])


figure, (left, right) = plt.subplots(1, 2)
for name, units in HIDDEN.items():
    seconds = np.array([epoch_time(units, q) for q in SIZES])
    steps, examples = 1e6 * seconds * np.array(SIZES) / N, 1e6 * seconds / N
    for q, step, example, second in zip(SIZES, steps, examples, seconds, strict=True):
        print(f"{name:16} q = {q:4d}: step {step:8.0f} µs, per example {example:6.1f} µs, epoch {second:.3f} s")
    left.loglog(SIZES, steps, "o-", label=name)
    right.loglog(SIZES, examples, "o-", label=name)
left.loglog(SIZES, steps[0] * np.array(SIZES), ":", color="black")
left.text(30, steps[0] * 60, "q single\nsteps", ha="right")
left.set(xlabel="batch size q", ylabel="µs per step", title="A step: flat at first", ylim=(None, 2 * steps[-1]))
right.set(xlabel="batch size q", ylabel="µs per example", title="An example: cheaper in company")
for ax in (left, right):
    ax.set(xticks=[1, 8, 64, 512, 2048], xticklabels=["1", "8", "64", "512", "2048"])
    ax.minorticks_off()
right.legend()
plt.show()
