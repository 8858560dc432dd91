"""
A vote of many networks errs less than one; one network with dropout does as well
=================================================================================

A network that is too large for 200 noisy points of two moons overfits. Three ways to average many networks: networks of other seeds, networks on bootstrap samples
(bagging), and dropout, which trains networks that share their weights and needs no second one.

**What you see.** The errors on new points fall with the number of networks that vote, quickly for the first five. One network on a bootstrap sample is worse than
one on all points, as it sees 63 % of them; a vote of twenty is better. Dropout in one network gains 1.1 ± 0.7 points, more than the vote of twenty (0.7). Bands: 95 % intervals of the
mean over the data sets.

**What to conclude.** Averaging removes what is random in a network: its seed and the accident of its sample. Bagging varies both, hence it gains more
than other seeds alone. Twenty members cost twenty trainings; `nn.Ensemble` runs them at once.

**Try next.** ``nn.Folds(10)`` in the place of ``nn.Bags``. ``ensemble.vote(X, "hard")``: one vote for each network instead of its probabilities.

:Slide: Deck 001, *Bagging: vote over classifiers*; *Dropout as a bagging of networks that share weights*
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_moons

import nncore as nn

plt.style.use("nncore.slide")

MEMBERS, SETS, EPOCHS, N, RATE = 20, 20, 100, 200, 0.3
X_new, y_new = make_moons(4000, noise=0.35, random_state=10_000)

# %%
# Members, and the errors of the first 1, 2, … of them
# ----------------------------------------------------


def network(rate, seed):
    noise = [nn.Dropout(rate)] if rate else []
    layers = [nn.Dense(64), nn.ReLU(), *noise, nn.Dense(64), nn.ReLU(), *(nn.Dropout(rate) for _ in noise), nn.Dense(2)]
    return nn.Sequential(layers, input_shape=2, seed=seed)


def errors(X, y, members, rate, subsets, seed):
    ensemble = nn.Ensemble(network(rate, seed), members)
    trainer = nn.EnsembleTrainer(ensemble, "softmax_cross_entropy", nn.Adam(lr=0.01))
    trainer.fit(X, y, epochs=EPOCHS, batch_size=32, subsets=subsets, verbose=0)
    mean = np.cumsum(ensemble.member_probabilities(X_new), axis=0)
    return 100 * (mean.argmax(axis=-1) != y_new).mean(axis=1)


seeds, bags, dropout = [], [], []
for number in range(SETS):
    X, y = make_moons(N, noise=0.35, random_state=number)
    seeds.append(errors(X, y, MEMBERS, 0, None, number))
    bags.append(errors(X, y, MEMBERS, 0, nn.Bags(seed=number), number))
    dropout.append(errors(X, y, 1, RATE, None, number))

# %%
# Errors against the number of voters
# -----------------------------------

figure, ax = plt.subplots()
voters = np.arange(1, MEMBERS + 1)
for values, color, name in (
    (np.array(seeds), nn.figures.PALETTE[0], "other seeds"),
    (np.array(bags), nn.figures.PALETTE[1], "other samples: bagging"),
):
    mean, width = values.mean(axis=0), 2.09 * values.std(axis=0, ddof=1) / np.sqrt(SETS)
    ax.fill_between(voters, mean - width, mean + width, color=color, alpha=0.15, linewidth=0)
    ax.plot(voters, mean, color=color, label=name)
    print(f"{name:<24} one network {mean[0]:.1f} %, {MEMBERS} networks {mean[-1]:.1f} ± {width[-1]:.1f} %")
one, thin = np.mean(seeds, axis=0)[0], np.mean(dropout)
gain = np.array(seeds)[:, 0] - np.array(dropout)[:, 0]
print(
    f"{'dropout, one network':<24} {thin:.1f} %, gain {gain.mean():.1f} ± {2.09 * gain.std(ddof=1) / np.sqrt(SETS):.1f} points"
)
ax.plot(voters, np.full(MEMBERS, one), color="0.5", linestyle="--", label="one network")
ax.plot(voters, np.full(MEMBERS, thin), color=nn.figures.PALETTE[2], linestyle="--", label="one network with dropout")
ax.set(
    xlabel="networks that vote",
    xticks=[1, 5, 10, 15, 20],
    ylabel="errors on new points, %",
    xlim=(1, MEMBERS),
    title=f"{MEMBERS} networks on bootstrap samples: {one - np.mean(bags, axis=0)[-1]:.1f} points fewer errors",
)
nn.figures.label_ends(ax)
plt.show()
