"""
A network learns two spirals: first a plateau, then the valley
==============================================================

Two spirals of 300 points, and a network with two hidden layers of 20 units. Here what it predicts at four epochs; below, in each frame of the animation: what it predicts over the plane, where its 501
numbers are on the loss surface, and the loss.

**What you see.** For 70 epochs the network draws one straight boundary and guesses: 54 % of new points, the loss falls only from 0.69 to 0.66. Then it bends the
boundary from the outer turns inward, and the loss falls: 77 % at epoch 144, 92 % at 240, 99 % at 600. On the surface the path first crosses nearly flat ground,
then turns into a valley, and slows down in it as the learning rate goes to 0.

The surface is drawn in the plane in which the weights move most. It contains 97 % of the squared distances from the end; the path itself leaves it a little, so that
the loss under the point is not exactly the loss of the network.

**What to conclude.** A flat curve is not the end of learning: the way out of a plateau may take a hundred epochs. With four other seeds the same training ends
at 92 to 99 % of new points, so that one run proves little.

**Try next.** ``EPOCHS = 300``: the rate falls too early, 90 %. ``nn.Tanh`` in place of ``nn.SiLU``: 600 epochs are not enough.

:Slide: Deck 003, *Loss surfaces are highly non-convex and high dimensional*
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation

import nncore as nn
from nncore.landscapes import loss_surface, principal_directions

plt.style.use("nncore.slide")

POINTS, EPOCHS, FRAMES, GRID, PLANE, SEEDS = 300, 600, 26, 70, 31, 5

# %%
# Training, with a look every few epochs
# --------------------------------------

X, y = nn.data.two_spirals(POINTS, noise=0.02)
X_new, y_new = nn.data.two_spirals(POINTS, noise=0.02, seed=1)


def new_trainer(seed):
    layers = [nn.Dense(20), nn.SiLU(), nn.Dense(20), nn.SiLU(), nn.Dense(1)]
    model = nn.Sequential(layers, input_shape=2, seed=seed)
    optimizer = nn.Adam(lr=nn.schedules.Cosine(0.02, steps=EPOCHS, per="epoch"))
    return nn.Trainer(model, "sigmoid_cross_entropy", optimizer, metrics=["accuracy"], seed=seed)


trainer = new_trainer(0)
model = trainer.model
axis = np.linspace(-1.15, 1.15, GRID)
plane = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
looks = np.linspace(0, EPOCHS, FRAMES).round().astype(int)
maps, weights, losses, accuracies = [], [], [], []
for epoch in looks:
    if epoch > trainer.epochs_done:
        trainer.fit(X, y, epochs=int(epoch) - trainer.epochs_done, batch_size=30, verbose=0)
    maps.append((0.5 + 0.5 * np.tanh(model.predict(plane)[:, 0] / 2)).reshape(GRID, GRID))
    weights.append(model.parameters.astype(float))
    losses.append(trainer.evaluate(X, y)["loss"])
    accuracies.append(100 * trainer.evaluate(X_new, y_new)["accuracy"])

# %%
# Four of the maps
# ----------------


def show(ax, frame):
    for label, color, marker in (0, nn.figures.PALETTE[0], "o"), (1, nn.figures.PALETTE[1], "^"):
        ax.scatter(*X[y == label].T, s=12, color=color, marker=marker, edgecolor="black", linewidth=0.4)
    ax.set(xticks=[], yticks=[], title=f"Epoch {looks[frame]}: {accuracies[frame]:.0f} %")
    return ax.imshow(maps[frame], origin="lower", extent=(-1.15, 1.15, -1.15, 1.15), cmap="RdBu_r", vmin=-0.3, vmax=1.3)


figure, axes = plt.subplots(1, 4, figsize=(12, 3.4))
for ax, frame in zip(axes, (np.array([0.12, 0.24, 0.4, 1]) * (FRAMES - 1)).astype(int), strict=True):
    show(ax, frame)
    print(f"epoch {looks[frame]:3}: loss {losses[frame]:.3f}, accuracy on new points {accuracies[frame]:.0f} %")
plt.show()

# %%
# The plane in which the weights move most
# ----------------------------------------
# By the principal components of the weights' distances from the end.

directions, share = principal_directions(np.array(weights))
where = (np.array(weights) - weights[-1]) @ directions.T
margin = 0.15 * np.ptp(where, axis=0)
extent = np.stack([where.min(axis=0) - margin, where.max(axis=0) + margin], axis=1)
surface = loss_surface(model, X, y, "sigmoid_cross_entropy", directions, extent=extent, points=PLANE)
print(f"share of the squared distances from the end that lies in the plane: {share.sum():.2f}")

# %%
# The animation
# -------------

figure, (field, ground, curve) = plt.subplots(1, 3, figsize=(11, 3.7), dpi=55)
image = show(field, 0)
surface.plot(ax=ground, title="Loss in the plane of the path", labels=("first direction", "second direction"))
(line,) = ground.plot([], [], color="white", linewidth=2)
(point,) = ground.plot([], [], "o", color=nn.figures.PALETTE[1], markeredgecolor="white", markersize=10)
curve.plot(looks, losses, color="black")
(now,) = curve.plot([], [], "o", color=nn.figures.PALETTE[1], markersize=10)
curve.set(title="Loss on the path", xlabel="epoch", yscale="log")
curve.set_yticks([0.05, 0.1, 0.2, 0.5], ["0.05", "0.1", "0.2", "0.5"])
curve.minorticks_off()


def draw(frame):
    image.set_data(maps[frame])
    field.set_title(f"Epoch {looks[frame]}: {accuracies[frame]:.0f} %")
    line.set_data(*where[: frame + 1].T)
    point.set_data(*where[frame : frame + 1].T)
    now.set_data(looks[frame : frame + 1], losses[frame : frame + 1])
    return image, line, point, now


figure.draw_without_rendering()
figure.set_layout_engine("none")  # the same layout in all frames
animation = FuncAnimation(figure, draw, frames=FRAMES, interval=150)
draw(FRAMES - 1)
plt.show()

# %%
# Other seeds
# -----------

for seed in range(SEEDS):
    other = new_trainer(seed)
    other.fit(X, y, epochs=EPOCHS, batch_size=30, verbose=0)
    print(
        f"seed {seed}: loss {other.evaluate(X, y)['loss']:.3f}, {100 * other.evaluate(X_new, y_new)['accuracy']:.0f} % of new points"
    )
