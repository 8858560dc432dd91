"""Every schedule against its closed form, implemented again."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from helpers.schedules import CASES

from nncore import schedules as s

WARMED = s.Exponential(0.5, 0.9, per="epoch")


EACH = pytest.mark.parametrize("case", CASES)


def by_epoch(schedule, **changes):
    return s.as_schedule({"schedule": schedule.name, **schedule.config(), **changes})


@EACH
def test_closed_form(case):
    schedule, formula = CASES[case]
    values = schedule.values(0, 60)
    assert values.dtype == np.float64
    np.testing.assert_allclose(values, [formula(t) for t in range(60)], rtol=1e-13, atol=1e-15)


@EACH
@pytest.mark.parametrize("per_epoch", [1, 4])
def test_values_do_not_depend_on_how_steps_are_grouped(case, per_epoch):
    schedule, _ = CASES[case]
    whole = schedule.values(0, 60, per_epoch)
    first, parts = 0, []
    for steps in (1, 2, 0, 3, 5, 17, 32):
        parts.append(schedule.values(first, steps, per_epoch))
        first += steps
    assert np.array_equal(np.concatenate(parts), whole)


@EACH
def test_per_epoch(case):
    schedule, formula = CASES[case]
    if "per" not in schedule.config():
        pytest.skip("a constant")
    inner = {"after": by_epoch(schedule.after, per="epoch")} if case == "warmup" else {}
    values = by_epoch(schedule, per="epoch", **inner).values(2, 58, steps_per_epoch=3)
    np.testing.assert_allclose(values, [formula(t // 3) for t in range(2, 60)], rtol=1e-13, atol=1e-15)


def test_warmup_by_step_to_a_schedule_by_epoch():
    values = s.Warmup(WARMED, steps=3).values(0, 10, steps_per_epoch=2)
    np.testing.assert_allclose(values, [0.125, 0.25, 0.375, 0.5, 0.5, 0.45, 0.45, 0.405, 0.405, 0.3645])


@pytest.mark.parametrize(
    ("case", "name"),
    [(c, n) for c, (schedule, _) in CASES.items() for n, v in schedule.config().items() if type(v) in (int, float)],
)
def test_every_constant_matters(case, name):
    schedule, formula = CASES[case]
    value = schedule.config()[name]
    if name in ("growth", "shrink") and not getattr(schedule, "restarts", True):
        pytest.skip("nothing grows or shrinks")
    if case == "warmup to a number" and name == "start":
        changed = 0.01
    else:
        changed = value + 1 if isinstance(value, int) else value * 1.01
    mutant = by_epoch(schedule, **{name: changed})
    assert not np.allclose(mutant.values(0, 60), [formula(t) for t in range(60)], rtol=1e-6, atol=0)


@EACH
def test_config(case):
    schedule, _ = CASES[case]
    again = s.as_schedule(json.loads(json.dumps({"schedule": schedule.name, **schedule.config()})))
    assert type(again) is type(schedule)
    assert again.config() == schedule.config()
    assert repr(again) == repr(schedule)
    assert np.array_equal(again.values(0, 60), schedule.values(0, 60))


def test_every_schedule_has_a_case():
    assert {type(schedule) for schedule, _ in CASES.values()} == set(s.SCHEDULES.values())
    assert set(s.__all__) >= {schedule.__name__ for schedule in s.SCHEDULES.values()}


@pytest.mark.parametrize(
    "name",
    [
        "OneCycleLR", "three phases of OneCycleLR", "CosineAnnealingWarmRestarts", "ExponentialLR", "PolynomialLR", "StepLR",
        "triangular CyclicLR", "triangular2 CyclicLR", "exp_range CyclicLR",
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore")
def test_pytorch_agrees(name, torch):
    ours, arguments = {
        "OneCycleLR": (s.OneCycle(0.7, 50), {"max_lr": 0.7, "total_steps": 50}),
        "three phases of OneCycleLR": (
            s.OneCycle(0.7, 50, three_phase=True), {"max_lr": 0.7, "total_steps": 50, "three_phase": True},
        ),
        **{
            f"{mode} CyclicLR": (
                s.Cyclic(0.1, 0.7, 6, **given),
                {"base_lr": 0.1, "max_lr": 0.7, "step_size_up": 6, "mode": mode, "gamma": given.get("gamma", 1)},
            )
            for mode, given in (("triangular", {}), ("triangular2", {"shrink": 0.5}), ("exp_range", {"gamma": 0.97}))
        },
        "CosineAnnealingWarmRestarts": (
            s.Cosine(0.7, 5, 0.1, restarts=True, growth=3), {"T_0": 5, "T_mult": 3, "eta_min": 0.1},
        ),
        "ExponentialLR": (s.Exponential(0.7, 0.9), {"gamma": 0.9}),
        "PolynomialLR": (s.Polynomial(0.7, 30, power=2), {"total_iters": 30, "power": 2}),
        "StepLR": (s.StepDecay(0.7, every=4, factor=0.2), {"step_size": 4, "gamma": 0.2}),
    }[name]  # fmt: skip
    peer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.7)
    theirs, values = getattr(torch.optim.lr_scheduler, name.split()[-1])(peer, **arguments), []
    for _ in range(50):
        values.append(peer.param_groups[0]["lr"])
        if len(values) < 50:
            theirs.step()
    np.testing.assert_allclose(ours.values(0, 50), values, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: s.Constant("a"), TypeError, "value must be a finite number, got 'a'"),
        (lambda: s.Constant(math.nan), ValueError, "value must be a finite number"),
        (lambda: s.StepDecay(0.1, every=0), ValueError, r"every must be an integer from 1 to 2\*\*44 - 1, got 0"),
        (lambda: s.StepDecay(0.1, every=1.5), TypeError, r"every must be an integer from 1 to 2\*\*44 - 1, got 1.5"),
        (lambda: s.StepDecay(0.1, every=2, per="batch"), ValueError, "per must be 'step' or 'epoch', got 'batch'"),
        (lambda: s.Exponential(0.1, gamma=0), ValueError, "gamma must be a positive number, got 0"),
        (lambda: s.InverseTime(0.1, rate=-1), ValueError, "rate must be a finite number of at least 0, got -1"),
        (lambda: s.Harmonic(0.1, b=0), ValueError, "b must"),
        (lambda: s.Polynomial(0.1, steps=3, power=0), ValueError, "power must"),
        (lambda: s.PiecewiseConstant([3, 3], [1, 2, 3]), ValueError, "boundaries must be ascending"),
        (lambda: s.PiecewiseConstant([3], [1, 2, 3]), ValueError, "levels must be 2 numbers .*, got"),
        (lambda: s.PiecewiseConstant([1], b"ab"), TypeError, "levels must be a list"),
        (lambda: s.OneCycle(0.1, steps=10, fraction=0.1), ValueError, "fraction must"),
        (lambda: s.Constant(0.1).values(-1, 3), ValueError, "first_step must be an integer from 0 to 2"),
        (lambda: s.Exponential(0.1, 0.9, per="epoch").values(0, 3, 0), ValueError, "steps_per_epoch"),
        (lambda: s.as_schedule({"schedule": "cosin"}), ValueError, "schedule must be .* one of constant, .*, got 'cosin'"),
        (lambda: s.as_schedule("cosine"), TypeError, "schedule must be a finite number"),
    ],
)  # fmt: skip
def test_refusals(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_cycle_longer_than_int64():
    """The second cycle takes 2⁶⁵ steps."""
    values = s.Cosine(1.0, steps=2**22, restarts=True, growth=2**43).values(2**40, 3)
    expected = [(1 + math.cos(math.pi * (2**40 + i - 2**22) / 2**65)) / 2 for i in range(3)]
    np.testing.assert_array_equal(values, expected)
