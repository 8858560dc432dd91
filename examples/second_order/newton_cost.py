"""
Forming the Hessian is what makes Newton's method expensive
===========================================================

Logistic regression with k weights on 512 examples: the time of each part of a Newton step, on one thread.

**What you see.** All four times grow with k, at very different rates; the numbers at the ends of the lines are the measured powers of k between the last
sizes. A gradient and a product of the Hessian with a vector cost about k; forming H, by k such products, about k²; solving with it comes to k³ only slowly,
and remains the smaller part up to thousands of weights.

**What to conclude.** The slide's O(k³) is the cost of the solve as k → ∞. In practice forming and storing k² numbers ends Newton's method earlier. Methods
that use products Hv only, such as `nncore.second_order.TruncatedNewton`, cost as much as some gradients.

**Try next.** ``ROWS = 4096``: forming H takes eight times as long, the solve as long as before. ``8 * k**2 / 1e9`` is the size of H in gigabytes: 80 at
100,000 weights.

:Slide: Deck 003, *Newton's method: inverting the Hessian costs O(k³)*
"""

import time

import matplotlib.pyplot as plt
import numpy as np
import scipy.linalg
from threadpoolctl import threadpool_limits

import nncore as nn
from nncore.second_order import HessianOperator

plt.style.use("nncore.slide")

ROWS, SIZES, REPEATS = 512, (32, 64, 128, 256, 512, 1024), 3

# %%
# Timing
# ------


def milliseconds(run):
    times = []
    for _ in range(REPEATS + 1):
        begin = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - begin))
    return min(times[1:])


def measure(k):
    rng = np.random.default_rng(0)
    X, y, v = rng.normal(size=(ROWS, k - 1)), rng.integers(0, 2, ROWS), rng.normal(size=k)
    model = nn.Sequential([nn.Dense(1)], input_shape=k - 1, dtype="float64")
    operator = HessianOperator(model, X, y, "sigmoid_cross_entropy", nn.L2(1e-2))
    H = operator.matrix() + 1e-3 * np.eye(k)
    return {
        "gradient": milliseconds(lambda: model.loss_and_gradient(X, y, "sigmoid_cross_entropy")),
        "product Hv": milliseconds(lambda: operator.products(v)),
        "form H": milliseconds(operator.matrix),
        "solve Hp = g": milliseconds(lambda: scipy.linalg.cho_solve(scipy.linalg.cho_factor(H), v)),
    }


with threadpool_limits(1):
    table = [measure(k) for k in SIZES]
print("    k" + "".join(f"{name:>16}" for name in table[0]) + "   milliseconds")
for k, row in zip(SIZES, table):
    print(f"{k:5}" + "".join(f"{value:16.3f}" for value in row.values()))

# %%
# Time against the number of weights
# ----------------------------------

figure, ax = plt.subplots()
for name, color in zip(table[0], nn.figures.PALETTE):
    times = np.array([row[name] for row in table])
    power = np.polyfit(np.log(SIZES[-3:]), np.log(times[-3:]), 1)[0]
    ax.loglog(SIZES, times, "o-", color=color, label=f"{name}, $k^{{{power:.1f}}}$")
ax.set(xlabel="number of weights, k", ylabel="milliseconds", title="Forming H costs more than solving with it")
nn.figures.label_ends(ax)
plt.show()
