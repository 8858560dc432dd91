"""
One hidden layer comes as close as wanted, if it is wide enough
===============================================================

A network with one hidden layer is to be sin(5x²) on [−1, 1]. Once it is built by hand, a step of a staircase for each sigmoid
unit; once its weights are learned, with Levenberg-Marquardt from five random starts.

**What you see.** Left: with one unit the best is a constant, with two a box, and four follow the curve to 0.0033. Right: the
largest error on [−1, 1]. By hand it falls like 1/width: 0.83 with 8 units, 0.12 with 64, 0.012 with 512. The best of five
learned networks is better with four units than the staircase with 512; with eight its error is 0.00034.

**What to conclude.** The theorem says that there are weights for every accuracy; the staircase shows why. It does not say that
training finds them: with four units the worst of the five starts (dots) has 27 times the error of the best, and from 8 to 16
units the best gains little. In d dimensions the steps of the staircase become cells of a grid, and the width grows like
(1/error) to the power of d.

Why must the activation not be a polynomial? A weighted sum of polynomials of degree n is one of degree n, however wide the
layer. With z² in the place of tanh every network here is a parabola, and none comes closer to sin(5x²) than 0.68.

**Try next.** The target \\|x\\|, with a kink, or a jump: which width gives 0.01? `nn.Adam` with a rate of 0.01 in the place of
Levenberg-Marquardt.

:Slide: Deck 004, *Universal approximation theorem: given a non-polynomial non-linearity*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

WIDTHS, SEEDS, EPOCHS, SHOWN = [1, 2, 4, 8, 16], 5, 100, [1, 2, 4]
STAIRS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]

x = np.linspace(-1, 1, 101)[:, None]
target = np.sin(5 * x**2)
fine = np.linspace(-1, 1, 5001)[:, None]

# %%
# By hand: each unit is a step of a staircase
# -------------------------------------------


def staircase(width):
    model = nn.Sequential([nn.Dense(width), nn.Sigmoid(), nn.Dense(1)], input_shape=1, dtype="float64")
    edges = np.linspace(-1, 1, width + 2)[1:-1]
    middles = np.linspace(-1, 1, 2 * width + 3)[1::2]  # of the stretches between the edges
    heights = np.sin(5 * middles**2)
    steep = 1e4
    model[0].weight[:, 0], model[0].bias[...] = steep, -steep * edges
    model[2].weight[0], model[2].bias[...] = np.diff(heights), heights[0]
    return model


# %%
# Learned
# -------


def learned(width, seed):
    model = nn.Sequential([nn.Dense(width), nn.Tanh(), nn.Dense(1)], input_shape=1, dtype="float64", seed=seed)
    nn.Trainer(model, "mean_squared_error", nn.second_order.LevenbergMarquardt()).fit(x, target, epochs=EPOCHS, verbose=0)
    return model


def largest_error(model, x=x):
    return np.abs(model.predict(x) - np.sin(5 * x**2)).max()


models = {width: sorted((learned(width, seed) for seed in range(SEEDS)), key=largest_error) for width in WIDTHS}
errors = np.array([[largest_error(model, fine) for model in models[width]] for width in WIDTHS])
by_hand = np.array([largest_error(staircase(width), fine) for width in STAIRS])
print("by hand:", {width: round(float(e), 4) for width, e in zip(STAIRS, by_hand)})
for width, e in zip(WIDTHS, errors):
    print(f"{width:3} units: best {e[0]:.2g}, median {np.median(e):.2g}, worst {e[-1]:.2g}")

# %%
# The curves, and the error against the width
# -------------------------------------------

figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.4))
left.plot(x, target, color="0.75", linewidth=7)
for width, color in zip(SHOWN, nn.figures.PALETTE[1:]):
    left.plot(x, models[width][0].predict(x), color=color, label=f"{width} unit" + "s" * (width > 1))
left.set(title="Four units cover the curve (gray)", xlabel="x", ylim=(-1.3, 1.3))
nn.figures.label_ends(left)
right.loglog(STAIRS, by_hand, "o-", color="0.5", label="by hand")
right.loglog(WIDTHS, errors[:, 0], "o-", color=nn.figures.PALETTE[0], label="learned, best of 5")
right.plot(np.repeat(WIDTHS, SEEDS), errors.ravel(), ".", color=nn.figures.PALETTE[0], alpha=0.5)
right.set(title="The error falls with the width", xlabel="hidden units", ylabel="largest error")
right.set_xticks(STAIRS[::2], STAIRS[::2])
right.minorticks_off()
nn.figures.label_ends(right)
plt.show()
