"""
A learned optimizer beats Adam on what it was trained for, and fails on a network
=================================================================================

A network of 50 weights is the optimizer: for each parameter it sees three running means of the gradient, divided by its size,
and answers with a step and with a change of the step's size. It is trained on small random quadratics with an evolution
strategy: try changed weights, move toward those with the lower losses. Then it must minimize what it has never seen.

**What you see.** Loss over the steps, divided by the first one; median of three seeds. The classics have the one learning rate
that is best on quadratics of the training. On new quadratics of the same kind the learned optimizer ends at 4·10⁻⁸, where Adam,
momentum and SGD are near 10⁻³. Only Rprop, which also keeps a size for every parameter, is as good (10⁻⁸). In 50 dimensions
with κ = 10 000 it is first for 40 steps and then stops at 0.005, momentum goes on to 4·10⁻⁵. On a network it stops at 0.13, and
with mini-batches at 0.54, each time last.

**What to conclude.** "Even other networks" can be optimizers, and on what they were trained for they are better than most rules
made by hand. Learned rules are no better than the problems that they have seen: this one saw four parameters, 60 steps, no
noise, and learned to shorten its steps quickly. Large learned optimizers (VeLO, 2022) were trained on a great many networks, at
great expense.

**Try next.** ``NOISE = 0.3`` trains with noisy gradients. Is it better with mini-batches then?

:Slide: Deck 002, *Comparing optimizers* ("even other neural networks")
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

GENERATIONS, PAIRS, SIGMA, PROBLEMS, SIZE, STEPS, NOISE = 200, 14, 0.1, 10, 4, 60, 0.0
RUNS, SEEDS = 150, 3
BETAS = np.array([0.0, 0.5, 0.9])

# %%
# The network as an optimizer
# ---------------------------
# For each parameter: features (…, 3) → 8 units → 2 outputs. The first is the direction, the second the change of the size. All weights of a population are used at once.


class Learned:
    """Weights (population, 50) of the network, and the state of a run; parameters have shape (population, …)."""

    def __init__(self, weights, shape):
        w = np.split(weights[..., None], [24, 32, 48], axis=-2)
        population = len(weights)
        self.w1, self.b1 = w[0].reshape(population, 3, 8), w[1].reshape(population, 1, 8)
        self.w2, self.b2 = w[2].reshape(population, 8, 2), w[3].reshape(population, 1, 2)
        self.means, self.square, self.size, self.t = np.zeros((population, *shape, 3)), 0.0, 0.1, 0

    def step(self, g):
        self.t += 1
        self.means = BETAS * self.means + (1 - BETAS) * g[..., None]
        self.square = 0.9 * self.square + 0.1 * g**2
        root = np.sqrt(self.square / (1 - 0.9**self.t)) + 1e-12
        features = self.means / (1 - BETAS**self.t) / root[..., None]
        hidden = np.tanh(features.reshape(len(g), -1, 3) @ self.w1 + self.b1)
        direction, change = np.moveaxis((hidden @ self.w2 + self.b2).reshape(*g.shape, 2), -1, 0)
        self.size = np.clip(self.size * np.exp(0.5 * np.tanh(change)), 1e-8, 1)
        return -self.size * direction


def quadratics(rng, count, size, condition=100):
    """Random matrices (count, size, size) with eigenvalues up to 1, and random starts."""
    q = np.linalg.qr(rng.normal(size=(count, size, size)))[0]
    eigenvalues = condition ** -rng.random((count, 1, size))
    return (q * eigenvalues) @ np.swapaxes(q, 1, 2) * 10 ** rng.uniform(-1, 1, (count, 1, 1)), rng.normal(size=(count, size))


def losses(weights, matrices, starts, noise):
    """Losses (population, problems, steps + 1) of runs with each of the weights."""
    x = np.repeat(starts[None], len(weights), axis=0)
    learned, found = Learned(weights, starts.shape), []
    starting = np.sqrt(
        (np.einsum("bij,bj->bi", matrices, starts) ** 2).mean(axis=-1, keepdims=True)
    )  # size of the first gradient
    for _ in range(STEPS + 1):
        g = np.einsum("bij,pbj->pbi", matrices, x)
        found.append((x * g).sum(axis=-1) / 2)
        x = np.clip(x + learned.step(g + noise * starting * rng.normal(size=g.shape)), -1e6, 1e6)
    return np.moveaxis(np.array(found), 0, -1)


# %%
# Training by evolution
# ---------------------
# The score is the mean of the logarithm of the loss along the run. `nn.Adam` takes the steps along the estimated gradient.

rng = np.random.default_rng(0)


def trained(noise):
    weights, meta, scores = 0.1 * rng.normal(size=50), nn.Adam(lr=0.03), []
    weights[32:48:2] += 0.3  # at first: roughly against the gradient
    for _ in range(GENERATIONS):
        changes = rng.normal(size=(PAIRS, 50))
        tried = losses(weights + SIGMA * np.concatenate((changes, -changes)), *quadratics(rng, PROBLEMS, SIZE), noise)
        score = np.log10(tried / tried[..., :1] + 1e-12)[..., 1:].mean(axis=(1, 2))
        ranks = score.argsort().argsort() / (2 * PAIRS - 1) - 0.5
        meta.step(weights, (ranks[:PAIRS] - ranks[PAIRS:]) @ changes / PAIRS)
        scores.append(score.mean())
    print(f"trained with noise {noise}: mean log10(loss / first) from {scores[0]:.2f} to {np.mean(scores[-10:]):.2f}")
    return weights


LEARNED = {"learned": trained(NOISE)}

# %%
# Against the classics
# --------------------
# A run of any optimizer on f, which returns loss and gradient. The classics get the rate with the best score on quadratics of the training.


def run(name, f, start, steps):
    if name in LEARNED:
        learned, x, found = Learned(LEARNED[name][None], start.shape), start.copy(), []
        for _ in range(steps + 1):
            loss, g = f(x)
            found.append(loss)
            x = x + learned.step(g[None])[0]
        return np.array(found)
    return METHODS[name](lr=RATE[name]).minimize(f, start, steps).loss


def quadratic(a):
    return lambda x: (0.5 * x @ a @ x, a @ x)


METHODS = {"SGD": nn.SGD, "Momentum": nn.Momentum, "Adam": nn.Adam, "Rprop": nn.Rprop}
RATE = {}
tuning = quadratics(np.random.default_rng(1), 10, SIZE)
for name in METHODS:
    score = {}
    for lr in np.geomspace(1e-2, 1, 9):
        RATE[name], total = lr, []
        for a, start in zip(*tuning, strict=True):
            try:
                found = run(name, quadratic(a), start, STEPS)
                total.append(np.log10(found / found[0] + 1e-12).mean())
            except nn.DivergenceError:
                total.append(10.0)
        score[lr] = np.mean(total)
    RATE[name] = min(score, key=score.get)
print("best rates on quadratics:", {name: f"{lr:.3g}" for name, lr in RATE.items()})


def network(rows):
    """A network on digits, in batches of so many rows (0: all)."""
    X, y = (data[:300] for data in nn.data.load_digits())

    def make(seed):
        rng = np.random.default_rng(seed)
        model = nn.Sequential([nn.Dense(16), nn.Tanh(), nn.Dense(10)], input_shape=64, dtype="float64", seed=seed)

        def f(x):
            model.parameters[...] = x
            batch = rng.integers(0, len(X), rows) if rows else slice(None)
            return model.loss_and_gradient(X[batch], y[batch], "softmax_cross_entropy")

        return f, model.parameters.copy()

    return make


def of_size(size, condition):
    def make(seed):
        a, start = quadratics(np.random.default_rng(100 + seed), 1, size, condition)
        return quadratic(a[0]), start[0]

    return make


problems = {
    "new quadratics": (of_size(SIZE, 100), STEPS),
    "50 dimensions, κ = 10 000": (of_size(50, 10_000), RUNS),
    "network, full batch": (network(0), RUNS),
    "network, batches of 32": (network(32), RUNS),
}
figure, axes = plt.subplots(1, len(problems), figsize=(14, 4.2))
for ax, (title, (make, steps)) in zip(axes, problems.items(), strict=True):
    ends = {}
    for name in (*METHODS, *LEARNED):
        if name == "Rprop" and "batches" in title:
            continue
        found = []
        for seed in range(SEEDS):
            f, start = make(seed)
            with np.errstate(all="ignore"):
                try:
                    path = run(name, f, start, steps)
                except nn.DivergenceError:
                    path = np.full(steps + 1, np.nan)
            found.append(path / path[0])
        median = np.median(found, axis=0)
        if "batches" in title:
            median = np.convolve(median, np.ones(20) / 20, mode="valid")
        ends[name] = median[-1]
        color = "black" if name in LEARNED else nn.figures.OPTIMIZER_COLORS[name]
        ax.semilogy(median, color=color, label=name, linewidth=3 if name in LEARNED else 1.8)
    print(f"{title:<32}", ", ".join(f"{name} {end:.1e}" for name, end in ends.items()))
    ax.set(xlabel="step", ylim=(max(1e-9, 0.3 * np.nanmin(list(ends.values()))), 3))
    ax.set_title(title, fontsize=11)
axes[0].set_ylabel("loss / first loss")
axes[0].legend(fontsize=10)
plt.show()
