"""Every schedule, and its formula."""

from __future__ import annotations

import math

from nncore import schedules as s


def cosine(a, b, x):
    return b + (a - b) * (1 + math.cos(math.pi * x)) / 2


def restarted(t, length, growth):
    while t >= length:
        t, length = t - length, length * growth
    return t / length


def triangle(t, half):
    """0 at t = 0, 1 at t = half, 0 at t = 2 half, and so on."""
    since = t % (2 * half)
    return since / half if since <= half else 2 - since / half


# the schedule, and its value at time t
CASES = {
    "constant": (s.Constant(0.3), lambda t: 0.3),
    "piecewise": (
        s.PiecewiseConstant([3, 10], [0.5, 0.9, 0.99]), lambda t: 0.5 if t < 3 else 0.9 if t < 10 else 0.99,
    ),
    "step decay": (s.StepDecay(0.4, every=7, factor=0.3), lambda t: 0.4 * 0.3 ** (t // 7)),
    "harmonic": (s.Harmonic(0.001, b=10, every=3), lambda t: 0.001 / (t // 3 + 10)),
    "inverse time": (s.InverseTime(0.2, rate=0.05), lambda t: 0.2 / (1 + 0.05 * t)),
    "exponential": (s.Exponential(0.2, gamma=0.97), lambda t: 0.2 * 0.97**t),
    "polynomial": (
        s.Polynomial(0.9, steps=20, final=0.1, power=2.5), lambda t: 0.1 + 0.8 * (1 - min(t, 20) / 20) ** 2.5,
    ),
    "cosine": (s.Cosine(0.9, steps=20, final=0.1), lambda t: cosine(0.9, 0.1, min(t, 20) / 20)),
    "restarts": (s.Cosine(0.9, 6, 0.1, restarts=True), lambda t: cosine(0.9, 0.1, (t % 6) / 6)),
    "growing restarts": (
        s.Cosine(0.9, 3, 0.1, restarts=True, growth=2), lambda t: cosine(0.9, 0.1, restarted(t, 3, 2)),
    ),
    "shrinking restarts": (
        s.Cosine(0.9, 6, 0.1, restarts=True, shrink=0.7), lambda t: cosine(0.1 + 0.8 * 0.7 ** (t // 6), 0.1, (t % 6) / 6),
    ),
    "growing and shrinking restarts": (  # the second cycle begins at 3, the third at 9, the fourth at 21, the fifth at 45
        s.Cosine(0.9, 3, 0.1, restarts=True, growth=2, shrink=0.7),
        lambda t: cosine(0.1 + 0.8 * 0.7 ** sum(t >= begin for begin in (3, 9, 21, 45)), 0.1, restarted(t, 3, 2)),
    ),
    "inverse power": (s.InversePower(0.4, power=0.3), lambda t: 0.4 / (t + 1) ** 0.3),
    "cos log": (
        s.CosLog(0.4, steps=50, cycles=3),
        lambda t: 0.4 * math.sin(math.pi * math.log2(1 + 7 * min(t, 50) / 50)) ** 2,
    ),
    "triangular": (s.Cyclic(0.1, 0.9, steps=7), lambda t: 0.1 + 0.8 * triangle(t, 7)),
    "triangular2": (s.Cyclic(0.1, 0.9, steps=7, shrink=0.5), lambda t: 0.1 + 0.8 * triangle(t, 7) / 2 ** (t // 14)),
    "exp range": (s.Cyclic(0.1, 0.9, steps=7, gamma=0.98), lambda t: 0.1 + 0.8 * triangle(t, 7) * 0.98**t),
    "warmup": (
        s.Warmup(s.Exponential(0.5, 0.9), steps=8, start=0.1),
        lambda t: 0.1 + 0.4 * (t + 1) / 9 if t < 8 else 0.5 * 0.9 ** (t - 8),
    ),
    "warmup to a number": (s.Warmup(0.5, steps=3), lambda t: 0.5 * (t + 1) / 4 if t < 3 else 0.5),
    "one cycle": (
        s.OneCycle(1.0, steps=30, initial=0.2, final=0.01, fraction=0.4),
        lambda t: cosine(0.2, 1.0, t / 11) if t <= 11 else cosine(1.0, 0.01, (min(t, 29) - 11) / 18),
    ),
    "three phases": (
        s.OneCycle(1.0, steps=30, initial=0.2, final=0.01, fraction=0.3, three_phase=True),
        lambda t: cosine(0.2, 1.0, t / 8) if t <= 16 else cosine(0.2, 0.01, (min(t, 29) - 16) / 13),
    ),
}  # fmt: skip
