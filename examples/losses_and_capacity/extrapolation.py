"""
Outside of the interval that it has seen, a network says anything
=================================================================

Three kinds of networks learn f(x) = sin x + ½ cos 3x (dotted) from 200 points in [−6, 6], five seeds each. Then they are asked
from −20 to 20.

**What you see.** In the interval (gray) all curves lie on f: the root mean square error is at most 0.08. Outside, tanh networks
go to constants, each to another one, with errors of about 1; ReLU networks go on as straight lines, with errors of 8 to 12. The
networks on the right get the two inputs sin x and cos x in the place of x: their error outside is below 0.0004.

**What to conclude.** Universal approximation is a statement about a compact set. What a network does beyond it comes from its
activation and its initial weights, not from the data: the five seeds agree inside and differ outside. Data that do not repeat
need a parameterization in which new points are not outside: here, an angle for something periodic. It is knowledge that the
data do not contain.

**Try next.** The target x²: which of the three is the best outside now? Train on [−12, 12]: how much wider does the network
need to be?

:Slide: Deck 004, *Universal approximation: no guarantees on extrapolation beyond the compact set; design a proper parameterization*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

EPOCHS, SEEDS, SEEN, ASKED = 2000, 5, 6.0, 20.0

x = np.linspace(-SEEN, SEEN, 200)[:, None]
far = np.linspace(-ASKED, ASKED, 1001)[:, None]
f = lambda x: np.sin(x) + 0.5 * np.cos(3 * x)  # noqa: E731
inside = np.abs(far[:, 0]) <= SEEN

KINDS = {
    "tanh: constants": (nn.Tanh, lambda x: x / SEEN),
    "ReLU: straight lines": (nn.ReLU, lambda x: x / SEEN),
    "inputs sin x, cos x": (nn.Tanh, lambda x: np.hstack([np.sin(x), np.cos(x)])),
}

# %%
# Train inside, ask outside
# -------------------------

figure, axes = plt.subplots(1, 3, figsize=(13, 4), sharey=True)
for ax, (name, (activation, inputs)) in zip(axes, KINDS.items()):
    hidden = [nn.Dense(64), activation(), nn.Dense(64), activation()]
    model = nn.Sequential([*hidden, nn.Dense(1)], input_shape=inputs(x).shape[1], seed=0)
    ensemble = nn.Ensemble(model, SEEDS)
    rate = nn.schedules.Cosine(0.01, EPOCHS * 4)
    nn.EnsembleTrainer(ensemble, "squared_error", nn.Adam(lr=rate)).fit(
        inputs(x), f(x), epochs=EPOCHS, batch_size=50, verbose=0
    )
    answers = ensemble.predict_members(inputs(far))[..., 0]
    errors = [np.sqrt(((answers - f(far[:, 0]))[:, part] ** 2).mean(axis=1)) for part in (inside, ~inside)]
    print(
        f"{name:<22} RMS error inside at most {errors[0].max():.4f}, outside from {errors[1].min():.4f} to {errors[1].max():.3g}"
    )
    ax.axvspan(-SEEN, SEEN, color="0.9", linewidth=0)
    ax.plot(far, f(far), color="black", linewidth=1, linestyle=":")
    for answer, color in zip(answers, nn.figures.PALETTE):
        ax.plot(far, answer, color=color, linewidth=1.5)
    ax.set(title=name, xlabel="x", ylim=(-4, 4))
    ax.grid(False)
axes[0].text(0, -3.6, "seen in training", ha="center")
plt.show()
