"""Lessons: prepared states of the playground, each with a question, predictions to choose from, and the answer."""

from __future__ import annotations

import copy
from typing import Any

from nncore.playground import spec

__all__ = ["LESSONS"]

State = dict[str, Any]


def _layer(units: int, activation: str = "tanh", **other: Any) -> State:
    return {**spec.LAYER, "units": units, "activation": activation, **other}


def _run(*layers: State, lr: float = 0.01, optimizer: str = "adam", **other: Any) -> State:
    own = {name: other.pop(name) for name in ("momentum",) if name in other}
    return {**spec.RUN, "layers": list(layers), "optimizer": {"name": optimizer, "lr": lr, **own}, **other}


def _state(kind: str, *runs: State, speed: float = 1000.0, view: str = "network", **other: Any) -> State:
    data = {**spec.DATA, "kind": kind, **other.pop("data", {})}
    return {**spec.STATE, "view": view, "data": data, "runs": list(runs) or spec.STATE["runs"], "speed": speed, **other}


def _lesson(
    id: str, deck: str, title: str, question: str, predictions: list[str], right: int, answer: str, state: State
) -> dict[str, Any]:
    """An entry; its state is completed as that of a page is."""
    whole = spec.completed({**copy.deepcopy(state), "lesson": id})
    return {
        "id": id, "deck": deck, "title": title, "question": question, "predictions": predictions, "right": right,
        "answer": answer, "state": whole,
    }  # fmt: skip


_ALL = [
    _lesson(
        "four-relus",
        "004",
        "Four ReLUs against the spirals",
        "One hidden layer of four ReLU units is to tell the two spirals apart. Will more steps do it?",
        ["Yes, it only takes long", "No, at no number of steps", "Only with a smaller learning rate"],
        1,
        "Each ReLU folds the plane along one line. Four lines cut it into at most eleven pieces, and the network is linear in "
        "each of them: the spirals need more. Add units (try 32), or a second layer, and watch the pieces.",
        _state("spirals", _run(_layer(4, "relu"))),
    ),
    _lesson(
        "xor",
        "004",
        "Exclusive or needs a hidden layer",
        "Run A has no hidden layer, run B has one of four units. What does A reach on the four quadrants?",
        ["The same as B, later", "About two thirds, for ever", "Nine tenths"],
        1,
        "Without a hidden layer the border is a straight line, and the best of all lines has a third of the square on the "
        "wrong side. The hidden layer folds the plane so that a line is enough.",
        _state("xor", _run(), _run(_layer(4))),
    ),
    _lesson(
        "zero-init",
        "000",
        "All weights zero",
        "All weights begin at zero, in run A; in run B they are random. What does A learn?",
        ["The same, later", "Nothing but the share of each class", "It diverges"],
        1,
        "The first layer gives h = 0, so ∂l/∂W = δhᵀ of the second is 0; the second has W = 0, so δ = Wᵀδ of the first is 0. "
        "Nothing comes through, forward or backward, and the output learns the share of each class. Click a weight of A.",
        _state("moons", _run(_layer(8, init="zeros"), _layer(8, init="zeros")), _run(_layer(8), _layer(8))),
    ),
    _lesson(
        "rate",
        "002",
        "A learning rate that is too high",
        "Plain gradient descent with η = 0.1 in run A and η = 3 in run B. Which loss is lower after 2000 steps?",
        ["B: larger steps are faster", "A: B jumps about, or leaves", "Both are the same"],
        1,
        "A step along the gradient lowers the loss only while it is shorter than the curvature allows: η < 2/λ in a direction "
        "of curvature λ. Beyond that each step overshoots by more than it gains. Lower the rate of B while it runs.",
        _state(
            "moons", _run(_layer(8), _layer(8), lr=0.1, optimizer="sgd"), _run(_layer(8), _layer(8), lr=3.0, optimizer="sgd")
        ),
    ),
    _lesson(
        "momentum",
        "004",
        "Momentum in the ravine",
        "A quadratic is 20 times as steep across as along; both have their best rates. Who is first at the minimum?",
        ["SGD: it does not swing past it", "Momentum: it adds up along the valley", "Neither gets there"],
        1,
        "SGD jumps from one side to the other and creeps along. In the velocity the gradients across the valley, which change "
        "sign, cancel; those along it add up, to 1/(1 − μ) times the step. The error shrinks by (√κ − 1)/(√κ + 1) = 0.63 per "
        "step in place of (κ − 1)/(κ + 1) = 0.90. Raise κ: move λ₂.",
        _state(
            "spirals",
            view="landscape",
            landscape={
                "name": "quadratic",
                "eigenvalues": [1.0, 20.0],
                "start": [-1.5, -0.55],
                "steps": 80,
                "racers": [{"name": "sgd", "lr": 0.095}, {"name": "momentum", "lr": 0.1335, "momentum": 0.4}],
            },
        ),
    ),
    _lesson(
        "regimes",
        "004",
        "The map of momentum",
        "The point is at ηλ = 1, μ = 0.8. What happens when you raise μ to 0.99?",
        ["It converges faster", "It swings for a long time", "It diverges"],
        1,
        "The roots of the recurrence are complex there, and their size is √μ: with μ = 0.99 an error takes 460 steps to "
        "shrink to a tenth. The best μ for this ηλ is (1 − √ηλ)².",
        _state("spirals", view="momentum", momentum={"rate": 1.0, "momentum": 0.8}),
    ),
    _lesson(
        "saddle",
        "001",
        "Who leaves the saddle first?",
        "All start almost on the ridge of a saddle. Which optimizer leaves it first?",
        ["SGD", "Adam", "They leave together"],
        1,
        "On the ridge the gradient is tiny, and so is SGD's step. Adam divides by the size of the gradient: its step is about "
        "η however flat it is.",
        _state(
            "spirals",
            view="landscape",
            landscape={
                "name": "saddle",
                "eigenvalues": [1.0, 20.0],
                "start": [-1.0, 0.001],
                "steps": 200,
                "racers": [{"name": "sgd", "lr": 0.05}, {"name": "momentum", "lr": 0.05}, {"name": "adam", "lr": 0.05}],
            },
        ),
    ),
    _lesson(
        "scaling",
        "000",
        "Raw data",
        "The three Gaussians as they come: x₁ around 100, x₂ around 10. The same network and rate as for scaled data. What "
        "happens?",
        ["The weights adapt: nothing changes", "It learns little or nothing", "It learns faster, the inputs are larger"],
        1,
        "The large inputs saturate the tanh units at once: the loss is steep in some directions, flat in others. Choose "
        "the scaled Gaussians and the same network is done in a few hundred steps.",
        _state("raw_gaussians", _run(_layer(8), lr=0.05, optimizer="sgd"), data={"noise": 0.2}),
    ),
    _lesson(
        "variance",
        "000",
        "The signal through twenty layers",
        "Twenty layers of 100 tanh units, with weights of standard deviation 0.05 (half of 1/√n). What is left of the signal?",
        ["About half", "About a millionth of its variance or less", "All of it"],
        1,
        "Each layer multiplies the variance by n Var(w) = 0.25: after twenty 0.25²⁰ = 10⁻¹². With Var(w) = 1/n it stays. "
        "Drag the scale.",
        _state(
            "spirals",
            view="initialization",
            initialization={"depth": 20, "width": 100, "activation": "tanh", "init": "lecun_normal", "scale": 0.5},
        ),
    ),
    _lesson(
        "vanishing",
        "003",
        "Sigmoid units in a deep network",
        "Six hidden layers: sigmoid units in run A, ReLU in run B. Look at δ of the first layer. Which one learns first?",
        ["A: sigmoids are smooth", "B: δ of A vanishes on its way back", "Both"],
        1,
        "σ′ is at most 1/4: δ shrinks from layer to layer on its way back, and A stands still for some 5000 steps. See the "
        "histograms of δ below, layer by layer.",
        _state(
            "moons",
            _run(*[_layer(8, "sigmoid")] * 6, lr=0.1, optimizer="sgd"),
            _run(*[_layer(8, "relu")] * 6, lr=0.1, optimizer="sgd"),
        ),
    ),
    _lesson(
        "batch-norm",
        "001",
        "With and without batch normalization",
        "Five tanh layers with weights that are far too small: run B has batch normalization. Which one starts to learn first?",
        ["A", "B", "Neither"],
        1,
        "Small weights shrink the signal from layer to layer, and the gradient on its way back. Batch normalization gives each "
        "unit mean 0 and variance 1 again, whatever the weights are.",
        _state(
            "moons",
            _run(*[_layer(8, init="normal")] * 5, lr=0.1, optimizer="sgd", batch_size=30),
            _run(*[_layer(8, init="normal", norm="batch_norm")] * 5, lr=0.1, optimizer="sgd", batch_size=30),
        ),
    ),
    _lesson(
        "batch-size",
        "003",
        "Small and large batches",
        "The same rate and the same number of epochs: batches of 5 in run A, of all examples in run B. Which is ahead?",
        ["B: its gradient is exact", "A: it takes 42 times as many steps", "They are the same"],
        1,
        "An epoch of B is one step. The gradient of five examples is noisy, but right on average, and costs a fraction. B is "
        "smoother: look at the curves.",
        _state(
            "moons",
            _run(_layer(8), _layer(8), lr=0.1, optimizer="sgd", batch_size=5),
            _run(_layer(8), _layer(8), lr=0.1, optimizer="sgd", batch_size=210),
        ),
    ),
    _lesson(
        "overfitting",
        "003",
        "More parameters than examples",
        "Forty noisy points, a network of 1,842 parameters. Run B has an L2 penalty. What does the validation loss of A do?",
        ["It falls with the training loss", "It falls, and then rises", "It stays where it is"],
        1,
        "A learns the noise: its border bends around single points, and it is ever more certain of it. The best moment to stop "
        "was early; the penalty keeps the weights small and the border smooth.",
        _state(
            "moons",
            _run(_layer(40, "relu"), _layer(40, "relu")),
            _run(_layer(40, "relu"), _layer(40, "relu"), regularizer={"name": "l2", "strength": 0.01}),
            data={"n": 80, "noise": 0.35, "split": 0.5},
        ),
    ),
    _lesson(
        "dropout",
        "001",
        "Dropout",
        "The same noisy points; run B drops half of its units at each step. How do its weights and its border differ?",
        ["B learns faster", "B is smoother, and its training loss stays higher", "No difference"],
        1,
        "No unit of B can rely on one other unit. It trains many thinned networks at once and averages them: a smoother "
        "border, a higher training loss, a lower validation loss. It takes more steps, not fewer.",
        _state(
            "moons",
            _run(_layer(40, "relu"), _layer(40, "relu")),
            _run(_layer(40, "relu", dropout=0.5), _layer(40, "relu", dropout=0.5)),
            data={"n": 80, "noise": 0.35, "split": 0.5},
        ),
    ),
]

LESSONS = sorted(_ALL, key=lambda lesson: str(lesson["deck"]))
