"""
L1 sets weights to exactly zero, L2 only makes them small
=========================================================

Linear regression with ten features, of which three matter, and a penalty on the weights: L1, λΣ\\|w\\|, or L2, λΣw²/2.

**What you see.** Left: the loss has elliptic contours, the penalty allows a diamond (L1) or a disk (L2) of the same size. The ellipse touches the diamond
at a corner, where one weight is exactly zero, and the disk beside the axis. Right: each weight against the strength of the penalty. Under L1 one weight after
the other becomes exactly zero, those without influence first; under L2 all shrink and none is zero. L2 shrinks a feature the more, the
less it varies: the dashed weight belongs to a feature of small variance and is lost long before its equal.

**What to conclude.** L1 selects features, L2 does not. Plain subgradients of \\|w\\| jump about zero: `nn.ProximalL1` takes the exact step,
w ← sign(w) max(\\|w\\| − ηλ, 0), and its zeros are zeros.

**Try next.** ``nn.L1`` in the place of ``nn.ProximalL1``: how many weights are exactly zero? ``nn.ElasticNet`` has both.

:Slide: Deck 003, *L1 and L2: sparse weights*; *L2 shrinks weights of features with a low covariance with the target*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

N, EPOCHS = 400, 400
STRENGTHS = np.geomspace(1e-2, 3, 25)

# %%
# Ten features, three that matter
# -------------------------------
# The third one has a standard deviation of 0.3 only: its covariance with the target is a tenth of the second one's, with the same true weight.

rng = np.random.default_rng(0)
X = rng.normal(size=(N, 10))
X[:, 2] *= 0.3
truth = np.array([2.0, 1.0, 1.0, 0, 0, 0, 0, 0, 0, 0])
y = (X @ truth + 0.5 * rng.normal(size=N))[:, None]


def weights(regularizer):
    model = nn.Sequential([nn.Dense(1, bias=False, weight_init="zeros")], input_shape=10, dtype="float64")
    trainer = nn.Trainer(model, "squared_error", nn.SGD(lr=0.2), regularizer=regularizer)
    trainer.fit(X, y, epochs=EPOCHS, batch_size=N, verbose=0)
    return model[0].weight[0].copy()


paths = {
    "L1": np.array([weights(nn.ProximalL1(strength)) for strength in STRENGTHS]),
    "L2": np.array([weights(nn.L2(strength)) for strength in STRENGTHS]),
}
for name, path in paths.items():
    print(f"{name}: exact zeros at λ = {STRENGTHS[8]:.2f}: {(path[8] == 0).sum()} of 10, weights {np.round(path[8], 2)}")

# %%
# Why: a corner of the diamond
# ----------------------------

figure, axes = plt.subplots(1, 3, figsize=(12, 4), width_ratios=[1, 1.2, 1.2])
w1, w2 = np.meshgrid(np.linspace(-1.2, 2.6, 200), np.linspace(-1.4, 2, 200))
loss = lambda w1, w2: (w1 - 1.8) ** 2 + 2 * (w2 - 0.35) ** 2  # noqa: E731
angle = np.linspace(0, 2 * np.pi, 400)
touch = np.argmin(loss(np.cos(angle), np.sin(angle)))
disk = np.cos(angle[touch]), np.sin(angle[touch])
axes[0].contour(w1, w2, loss(w1, w2), levels=sorted([0.1, loss(*disk), loss(1, 0), 1.8, 3.5]), colors="0.6")
axes[0].plot(1, 0, "o", color=nn.figures.PALETTE[1], zorder=5)
axes[0].plot(*disk, "o", color=nn.figures.PALETTE[0], zorder=5)
axes[0].plot([1, 0, -1, 0, 1], [0, 1, 0, -1, 0], color=nn.figures.PALETTE[1])
axes[0].plot(np.cos(angle), np.sin(angle), color=nn.figures.PALETTE[0])
axes[0].text(-0.15, -0.55, "L1", color=nn.figures.PALETTE[1], ha="right")
axes[0].text(0.75, -0.85, "L2", color=nn.figures.PALETTE[0])
axes[0].set(aspect="equal", xlabel="w₁", ylabel="w₂", title="The corner is touched first")
for ax, (name, path), title in zip(axes[1:], paths.items(), ("L1: exactly zero, one by one", "L2: small, never zero")):
    for i, w in enumerate(path.T):
        matters = truth[i] > 0
        ax.semilogx(
            STRENGTHS,
            w,
            color=nn.figures.PALETTE[i] if matters else "0.7",
            linestyle="--" if i == 2 else "-",
            linewidth=2 if matters else 1,
        )
    ax.set(xlabel="λ", ylabel="weights" if name == "L1" else "", title=title, ylim=(-0.15, 2.1))
axes[2].annotate(
    "equal true\nweights, but\nless variance",
    (0.06, 0.65),
    (0.011, 0.08),
    fontsize=11,
    arrowprops={"arrowstyle": "-"},
)
plt.show()
