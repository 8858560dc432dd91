"""With many documents SGD is done before a batch method has begun
================================================================

L. Bottou's table compares methods that classify documents: a linear model of 47 152 words, trained on 781 265 documents by SGD and by methods that read them
all for every step. Here it is done with 30 000 documents from `make_documents`, which have the same statistics (75 words each), and logistic regression
with an L2 penalty.

**What you see.** Left: the error on new documents over the seconds of training. Right: the seconds until it is within 0.3 points of the error at which L-BFGS
ends. SGD is there after 2 passes over the documents, L-BFGS after 16 iterations and about ten times the seconds, Newton's method after 11, which cost twice
as much again; gradient descent is not there after 40.

**What to conclude.** A method that reads all documents for one step pays for 30 000 gradients that say nearly the same. SGD makes 1900 steps of 16 in that time. The
batch methods reach the minimum more exactly, which new documents do not notice. Bottou (2010) has 2.3 s for SGD and 30 s for LibLinear on the full set.

**Try next.** Set ``ROWS = 781_265``, the size of Bottou's set (2 GB, some minutes): the more documents, the larger the lead.

:Slide: Deck 004, *The efficiency of SGD ("shallow" learning)*: Bottou's table; deck 003, *Batch GD: disadvantages*
"""

import time

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

ROWS, PENALTY, CLOSE = 30_000, 1e-5, 0.003

# %%
# Four methods
# ------------
# ``None`` as batch size: all documents. The learning rate of SGD halves within an epoch.

METHODS = {
    "SGD, q = 16": (nn.SGD(lr=nn.schedules.InverseTime(16.0, rate=16 / ROWS)), 16, 6),
    "L-BFGS": (nn.second_order.LBFGS(), None, 30),
    "truncated Newton": (nn.second_order.TruncatedNewton(), None, 12),
    "gradient descent": (nn.SGD(lr=64.0), None, 40),
}

X, y = nn.data.make_documents(ROWS + ROWS // 4)
X_new, y_new = X[ROWS:], y[ROWS:]
X, y = X[:ROWS], y[:ROWS]
print(f"{ROWS} documents, {X.shape[1]} words, {X.nnz / ROWS:.0f} in each")


def curve(optimizer, batch, epochs):
    """(epochs, 2): seconds of training, without those of evaluation, and error on new documents."""
    model = nn.Sequential([nn.SparseDense(1, weight_init="zeros")], input_shape=X.shape[1])
    slow = {"*.bias": 0.02} if isinstance(optimizer, nn.SGD) else None  # the bias has an input in every document
    trainer = nn.Trainer(
        model, "sigmoid_cross_entropy", optimizer, regularizer=nn.L2(PENALTY), lr_factors=slow, metrics=["accuracy"]
    )
    seconds, rows = 0.0, []
    for _ in range(epochs):
        start = time.perf_counter()
        trainer.fit(X, y, batch_size=batch or ROWS, verbose=0)
        seconds += time.perf_counter() - start
        rows.append((seconds, 1 - trainer.evaluate(X_new, y_new)["accuracy"]))
        if trainer.stop_training:
            break
    return np.array(rows)


curves = {name: curve(*method) for name, method in METHODS.items()}
goal = curves["L-BFGS"][-1, 1] + CLOSE

# %%
# Error over time, and time to the goal
# -------------------------------------

figure, (left, right) = plt.subplots(1, 2, width_ratios=[1.4, 1])
for place, (name, rows) in enumerate(curves.items()):
    color = nn.figures.PALETTE[place]
    left.semilogx(rows[:, 0], 100 * rows[:, 1], ".-", color=color, label=name)
    reached = np.flatnonzero(rows[:, 1] <= goal)
    text = f"{rows[reached[0], 0]:.2f} s" if len(reached) else f"not in {rows[-1, 0]:.1f} s"
    print(f"{name:18} error {100 * rows[-1, 1]:5.2f} % after {len(rows):2d} epochs; {100 * goal:.2f} %: {text}"
          + (f", {reached[0] + 1} epochs" if len(reached) else ""))  # fmt: skip
    right.barh(place, rows[reached[0] if len(reached) else -1, 0], height=0.5, color=color, alpha=1 if len(reached) else 0.25)
    right.text(0, place - 0.3, f"{name}: {text}", va="bottom")
left.axhline(100 * goal, color="black", linestyle=":", linewidth=1)
left.set(
    xlabel="seconds of training", ylabel="errors on new documents, %", ylim=(95 * goal, 200 * goal), title="SGD arrives first"
)
right.set(yticks=[], ylim=(len(curves) - 0.6, -0.7), xlabel="seconds", title="Seconds to the dotted line")
plt.show()
