"""
Seen in the right plane, training runs into a bowl
==================================================

A network of 2410 parameters learns 500 digits with an L2 penalty. Its loss is a function of 2410 variables; a picture shows it on a plane. Two planes go through the
end of the training: the one that contains most of the path, and one along two random directions, with the noise of each unit as long as its weights (Li et al. 2018).
What is drawn is what is minimized, loss plus penalty.

**What you see.** Left, 97 % of the path of L-BFGS lies in the plane; its end, the star, is at the minimum of what is drawn, the cross: 0.0172, of which 0.0144 are
penalty. Adam (middle, 98 %) is at 0.0186 after the same 40 epochs and would find 0.0174 at a distance of 2.3. In a random plane the end lies in a smooth bowl.

**What to conclude.** Pictures of loss surfaces show what one chooses to show: a random plane looks convex, as two of 2410 directions rarely meet a wall. The slide's
*highly non-convex* is true all the same: on the line between the minima of two seeds, 0.0172 and 0.0166, the loss rises to 0.13. And a picture without the
penalty would be of another function, whose minimum is not where the training ends.

**Try next.** Leave out ``regularizer=PENALTY`` in ``plane_of``: how far from the minimum does the star seem to be? Draw another random plane with ``seed=1``.

:Slide: Deck 003, *Loss surfaces are highly non-convex and high dimensional*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

EXAMPLES, EPOCHS, POINTS = 500, 40, 41
LOSS, PENALTY = "softmax_cross_entropy", nn.L2(1e-4)

# %%
# Training, with all parameters kept
# ----------------------------------

X, y = (array[:EXAMPLES] for array in nn.data.load_digits())


def train(optimizer, seed=1):
    """A trained network, and its parameters at the start and after each epoch."""
    model = nn.Sequential([nn.Dense(32), nn.Tanh(), nn.Dense(10)], input_shape=64, seed=seed)
    path = [model.parameters.copy()]
    keep = nn.LambdaCallback(on_epoch_end=lambda trainer, epoch, row: path.append(model.parameters.copy()))
    nn.Trainer(model, LOSS, optimizer, regularizer=PENALTY).fit(X, y, epochs=EPOCHS, callbacks=[keep], verbose=0)
    return model, np.array(path)


def plane_of(model, path):
    """The surface on the plane that contains most of the path, and the fraction of the path in each of its directions."""
    directions, explained = nn.landscapes.principal_directions(path)
    along = (path - path[-1]) @ directions.T
    margin = 0.25 * np.ptp(along, axis=0).max()
    extent = np.column_stack((along.min(axis=0) - margin, along.max(axis=0) + margin))
    return nn.landscapes.loss_surface(
        model, X, y, LOSS, directions, regularizer=PENALTY, extent=extent, points=POINTS
    ), explained


# %%
# Two optimizers, and a random plane
# ----------------------------------

runs = {"L-BFGS": train(nn.second_order.LBFGS()), "Adam": train(nn.Adam(lr=0.01))}
planes = {name: plane_of(*run) for name, run in runs.items()}
model = runs["L-BFGS"][0]
around = nn.landscapes.loss_surface(model, X, y, LOSS, regularizer=PENALTY, points=POINTS)
losses = np.stack([around.loss, *(surface.loss for surface, _ in planes.values())])
limits = losses.min(), losses.max()

figure, axes = plt.subplots(1, 3, figsize=(11, 4.2))
titles = {"L-BFGS": "L-BFGS: to the minimum", "Adam": "Adam: still on its way"}
for ax, (name, (surface, explained)) in zip(axes, planes.items(), strict=False):
    model, path = runs[name]
    end = nn.Trainer(model, LOSS, regularizer=PENALTY).evaluate(X, y)
    i, j = np.unravel_index(surface.loss.argmin(), surface.loss.shape)
    print(f"{name}: {end['loss']:.4f} in the end, penalty {end['penalty']:.4f}; lowest in the plane {surface.loss.min():.4f}")
    print(f"    at a distance of {np.hypot(surface.a[j], surface.b[i]):.2f}; {explained.sum():.0%} of the path is in the plane")
    labels = tuple(f"direction {k + 1} ({part:.0%} of the path)" for k, part in enumerate(explained))
    surface.plot(ax=ax, trajectory=path, title=titles[name], labels=labels, limits=limits, colorbar=False)
    ax.plot(*surface.project(path[:1])[0], "o", color="white", markeredgecolor="black", markersize=9)
    ax.plot(surface.a[j], surface.b[i], "P", color="#56B4E9", markeredgecolor="black", markersize=9)
around.plot(ax=axes[2], title="Random plane: a bowl", labels=("random 1", "random 2"), limits=limits)
for ax in axes:
    ax.grid(False)
plt.show()

# %%
# A bowl, and a wall between two bowls
# ------------------------------------
# Another seed ends in another minimum. On the straight line between both the loss shows that the surface is not convex.

other, _ = train(nn.second_order.LBFGS(), seed=2)
line, between = np.linspace(-0.25, 1.25, POINTS), runs["L-BFGS"][0].copy()
heights = []
for t in line:
    between.parameters[...] = (1 - t) * runs["L-BFGS"][0].parameters + t * other.parameters
    heights.append(nn.Trainer(between, LOSS, regularizer=PENALTY).evaluate(X, y)["loss"])
print(f"at the ends {np.interp(0, line, heights):.4f} and {np.interp(1, line, heights):.4f}, between them up to", end=" ")
print(f"{max(h for t, h in zip(line, heights, strict=True) if 0 < t < 1):.2f}")

figure = plt.figure()
ax = figure.add_subplot(1, 2, 1, projection="3d")
ax.plot_surface(*np.meshgrid(around.a, around.b), np.log10(around.loss), cmap="viridis", rcount=POINTS, ccount=POINTS)
ax.set(title="Random plane: a bowl of log₁₀ loss")
ax = figure.add_subplot(1, 2, 2)
ax.plot(line, heights)
ax.set(
    ylim=(0, None), xlabel="from seed 1 (at 0) to seed 2 (at 1)", ylabel="loss + penalty", title="Between two minima: a wall"
)
plt.show()
