"""
Examples alone do not specify a function: something must fill the gaps
======================================================================

Functions of 100 bits have 2¹⁰⁰ = 1.27 · 10³⁰ inputs. A training set of 10¹⁵ examples, more than anyone has, shows one input in
1.27 · 10¹⁵. The same in small: functions of ten bits have 1024 inputs, and a network is shown a part of them.

**What you see.** Left: the two numbers on a logarithmic scale; the examples reach half of the way, and each further digit is a
factor of ten. Right: the errors on the inputs that were not shown, against the part that was; on those shown nearly all answers
are right. For "more ones than zeros" 10 % of the inputs are enough for 3.1 % errors, 20 % for none; a vote in which each bit has its own weight takes more. A random function cannot be
guessed: half of the unseen answers are wrong, even where 95 % are shown. Parity, which turns with every bit, is as bad as
random up to 10 %; at 40 % it has 17.9 % errors.

**What to conclude.** From the examples alone every answer on the other inputs is equally possible: this is what the random
function shows. What the network says there comes from its own preference for smooth functions, in which similar inputs have
similar answers. It is right where the world is smooth, too; of the 2¹⁰⁰ inputs those that occur in the world are few and alike,
which is why learning works at all.

**Try next.** The function ``X[:, 0] ^ X[:, 1]``, which depends on two bits only. ``nn.Tanh()`` for the ReLU, or two hidden
layers: which is better at parity?

:Slide: Deck 001, *Data under-specification in learning*; *Need smoothing constraints*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

BITS, SEEDS, EPOCHS = 10, 5, 100
FRACTIONS = [0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95]

print(f"inputs of 100 bits: 2^100 = {2**100:.3g}; 10^15 examples are one in {2**100 / 10**15:.3g}")

# %%
# All inputs of ten bits, and four functions of them
# --------------------------------------------------

rng = np.random.default_rng(0)
X = (np.arange(2**BITS)[:, None] >> np.arange(BITS)) & 1
functions = {
    "random": rng.integers(2, size=len(X)),
    "parity": X.sum(axis=1) % 2,
    "weighted vote": ((X - 0.5) @ rng.normal(size=BITS) > 0).astype(int),
    "more ones than zeros": (X.sum(axis=1) > BITS / 2).astype(int),
}
inputs = 2.0 * X - 1

# %%
# Show a part, ask for the rest
# -----------------------------


def wrong(y, fraction, seed):
    order = np.random.default_rng(seed).permutation(len(X))
    shown, rest = np.split(order, [int(fraction * len(X))])
    model = nn.Sequential([nn.Dense(64), nn.ReLU(), nn.Dense(2)], input_shape=BITS, seed=seed)
    trainer = nn.Trainer(model, "softmax_cross_entropy", nn.Adam(lr=0.01), seed=seed)
    trainer.fit(inputs[shown], y[shown], epochs=EPOCHS, batch_size=32, verbose=0)
    return [100 * np.mean(model.predict(inputs[part]).argmax(axis=1) != y[part]) for part in (shown, rest)]


errors = {}
for name, y in functions.items():
    both = np.array([[wrong(y, fraction, seed) for seed in range(SEEDS)] for fraction in FRACTIONS]).mean(axis=1)
    errors[name] = both[:, 1]
    print(
        f"{name:<21} wrong of the rest, %:",
        *(f"{e:5.1f}" for e in both[:, 1]),
        f"  of those shown at most {both[:, 0].max():.1f}",
    )

# %%
# The size of the gap, and what fills it
# --------------------------------------

figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.2), width_ratios=[1, 1.6])
left.bar(["inputs", "examples"], [2.0**100, 1e15], color=[nn.figures.PALETTE[0], nn.figures.PALETTE[1]], width=0.6)
left.set(yscale="log", ylim=(1, 1e33), title="100 bits", yticks=[1, 1e10, 1e20, 1e30])
left.text(0, 4e30, "2¹⁰⁰ = 10³⁰", ha="center")
left.text(1, 4e15, "10¹⁵", ha="center")
for (name, e), color in zip(errors.items(), ("0.4", *nn.figures.PALETTE[1:])):
    right.plot(100 * np.array(FRACTIONS), e, "o-", color=color, label=name)
right.set(title="10 bits: errors on the inputs not shown", xlabel="% of the 1024 inputs shown", ylabel="% wrong", ylim=(-4, 60))
nn.figures.label_ends(right)
plt.show()
