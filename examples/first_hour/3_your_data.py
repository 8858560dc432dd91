"""
Your own table: scaling first, and early stopping decides how long to train
===========================================================================

A CSV file with a header, a column to predict, and columns of very different sizes: the usual beginning. Here it is written first, from scikit-learn's table
of 442 diabetes patients in its raw units; put your own file's name in ``FILE``.

**What you see.** Without scaling the network barely learns: columns of a hundred units drown those of one, and a target near 150 is far away from outputs
near 0. The dotted line is the loss of always predicting the mean. With both scaled the network reaches in a few epochs what it can reach. The held-out loss
is smallest early; from there the network only memorizes, and early stopping goes back to that epoch.

**What to conclude.** Scale inputs and targets, with means and deviations of the training rows only. Give `Trainer.fit` validation data and `EarlyStopping`, and the
number of epochs is chosen for you. (The loss at the chosen epoch is a little too good, as it was chosen: a final test needs rows of its own.)

**Try next.** Your own file. ``regularizer=nn.L2(0.01)`` in the trainer: does the held-out error end lower? (The loss has the penalty in it.) `nncore.sklearn.MLPRegressor` does all of this in
one line.

:Slide: Deck 000, *Raw data*; deck 003, *Early stopping*
"""

import csv
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes

import nncore as nn

plt.style.use("nncore.slide")

FILE, TARGET, EPOCHS = Path(tempfile.gettempdir()) / "patients.csv", "progression", 120

# %%
# A file
# ------

table = load_diabetes(scaled=False)
if not FILE.exists():
    with open(FILE, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*table.feature_names, TARGET])
        writer.writerows(np.column_stack([table.data, table.target]).tolist())

# %%
# Reading it with NumPy
# ---------------------
# ``pandas.read_csv`` works as well: data frames are accepted as X, and the names of their columns are kept.

with open(FILE, newline="") as file:
    names = next(csv.reader(file))
rows = np.loadtxt(FILE, delimiter=",", skiprows=1)
y = rows[:, [names.index(TARGET)]]
X = np.delete(rows, names.index(TARGET), axis=1)
train, test = nn.data.train_validation_split(X, y, fraction=0.25, seed=1)
for name, column in zip([n for n in names if n != TARGET], X.T):
    print(f"{name:<5} from {column.min():6.1f} to {column.max():6.1f}")

# %%
# Raw and scaled
# --------------
# A model holds its scalers, fitted on the rows to train on: every method applies them, and they are saved with it.


def train_one(scale):
    model = nn.Sequential([nn.Dense(32), nn.Tanh(), nn.Dense(1)], input_shape=X.shape[1], seed=0)
    if scale:
        model.input_scaler = nn.data.StandardScaler().fit(X[train])
        model.target_scaler = nn.data.StandardScaler().fit(y[train])
    trainer = nn.Trainer(model, "mean_squared_error", nn.Adam(lr=0.005))
    stop = nn.EarlyStopping("val_loss", patience=EPOCHS)  # runs to the end, and goes back to the best epoch
    history = trainer.fit(X[train], y[train], epochs=EPOCHS, validation_data=(X[test], y[test]), callbacks=[stop], verbose=0)
    return model, history, stop.best_epoch


spread = y[train].var()
figure, ax = plt.subplots()
for name, scale, color in ("raw", False, nn.figures.PALETTE[1]), ("scaled", True, nn.figures.PALETTE[0]):
    model, history, best = train_one(scale)
    loss = history["val_loss"] if scale else history["val_loss"] / spread  # both in units of the variance of the target
    wrong = np.sqrt(np.mean((model.predict(X[test]) - y[test]) ** 2))
    print(
        f"{name:<7} best epoch {best:3}: held-out error {wrong:.1f}, in units of the target; standard deviation {np.sqrt(spread):.1f}"
    )
    ax.plot(np.arange(1, len(loss) + 1), loss, color=color, label=name)
    if scale:
        ax.plot(best, loss[best - 1], "o", color=color, markersize=10, markerfacecolor="white", zorder=3)
        ax.annotate(
            f"early stopping goes back to epoch {best}",
            (best, loss[best - 1]),
            (best + 8, 1.6),
            color=color,
            arrowprops={"arrowstyle": "-", "color": color},
        )
ax.axhline(1, color="black", linestyle=":", label="the mean")
ax.set(
    xlabel="epoch",
    ylabel="held-out loss / variance",
    title="Raw columns are hardly learned; scaled ones in a few epochs",
    xlim=(0, EPOCHS),
    ylim=(0, 6),
)
nn.figures.label_ends(ax)
plt.show()
