"""The declarations of ops in op_table.h match the checks of the boundary, the arrays bound, and the documentation."""

import importlib.util
import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import optimizers as optimizer_cases
from helpers.op_table import Operands, operands, program
from numpy.typing import NDArray

from nncore import _kernels
from nncore._kernels import Program, op_table
from nncore._kernels.single_ops import run_op
from nncore.optimizers.adaptive import PLACEMENTS, RMSprop
from nncore.optimizers.tiles import tile_table

Array = NDArray[Any]

each_op = pytest.mark.parametrize("name", _kernels.op_names())


def run_nothing(bound: Program, bind: Any = ()) -> None:
    """All checks, without a step."""
    bound.run(list(bind), examples=4, batch=4, last_step=0)


# ---- operands


@each_op
def test_declared_operands_are_accepted(name: str) -> None:
    run_nothing(program(name))


@each_op
@pytest.mark.parametrize("kind", Operands._fields)
def test_one_too_few_and_one_too_many_are_refused(name: str, kind: str) -> None:
    op, given = op_table().declaration(name), operands(name)
    own = getattr(given, kind)
    least = op.least_sizes if kind == "sizes" else len(own)
    names = re.escape(", ".join(getattr(op, kind)))
    for wrong in (own[: least - 1], (*own, np.zeros(4) if kind == "arrays" else 0)):
        if wrong == own[:0] and not least:
            continue  # there is none to omit
        with pytest.raises(ValueError, match=rf"^op {name} must have .*\d+ {kind} \({names}\), got {len(wrong)}$"):
            program(name, given._replace(**{kind: wrong}))
    for fewer in range(least, len(own)):
        program(name, given._replace(**{kind: own[:fewer]}))


@each_op
def test_only_optional_arrays_may_be_missing(name: str) -> None:
    op, given = op_table().declaration(name), operands(name)
    for slot, (argument, optional) in enumerate(zip(op.arrays, op.optional, strict=True)):
        without = program(name, given._replace(arrays=(*given.arrays[:slot], None, *given.arrays[slot + 1 :])))
        if optional:
            run_nothing(without)
            run_nothing(program(name), [(0, slot, None)])
            continue
        for bound, bind in ((without, []), (program(name), [(0, slot, None)])):
            with pytest.raises(ValueError, match=f"^op {name}: array {argument} must not be None$"):
                run_nothing(bound, bind)
        run_nothing(without, [(0, slot, given.arrays[slot])])  # bound for this run
        with pytest.raises(ValueError, match=f"^op {name}: array {argument} must not be None$"):
            run_nothing(without)


@pytest.mark.parametrize("slot", [-1, 2, 7, 15, 16, 10**6])
def test_slots_that_an_op_does_not_have(slot: int) -> None:
    with pytest.raises(ValueError, match=f"op gather_rows must have an array of number 0 to 1, got {slot}"):
        run_nothing(program("gather_rows"), [(0, slot, np.zeros((4, 4)))])


@pytest.mark.parametrize("number", [-1, 1, 10**6])
def test_ops_that_a_program_does_not_have(number: int) -> None:
    with pytest.raises(ValueError, match=f"must be bound by the numbers of its ops, got {number}"):
        run_nothing(program("gather_rows"), [(number, 0, np.zeros((4, 4)))])


# ---- declarations


def test_all_instruction_sets_declare_the_same() -> None:
    def parts(isa: str, name: str) -> tuple[Any, ...]:
        op = op_table(isa).declaration(name)
        return op.arrays, op.written, op.optional, op.sizes, op.least_sizes, op.constants

    for isa in _kernels.complete_isas():
        assert [parts(isa, name) for name in op_table(isa).names] == [parts("baseline", name) for name in _kernels.op_names()]


@each_op
def test_names_are_unique_and_every_op_has_an_output(name: str) -> None:
    op = op_table().declaration(name)
    for names in (op.arrays, op.sizes, op.constants):
        assert len(set(names)) == len(names)
        assert all(one.isidentifier() for one in names)
    assert any(op.written)
    assert "tile_table" not in op.arrays[:-1]


@optimizer_cases.EACH
def test_the_slots_of_an_optimizer_are_those_of_its_op(case: str) -> None:
    build, _, constants = optimizer_cases.CASES[case]
    optimizer = build(constants)
    own = {f"{optimizer.kernel}_update", optimizer.enter, optimizer.leave} - {None}
    for name in own:
        op = op_table().declaration(name)
        assert op.arrays == ("theta", "g", *optimizer.slots, "tile_table")
        assert op.written == (True, False, *[True] * len(optimizer.slots), False)


def test_the_kernels_of_rmsprop_are_all_there() -> None:
    declared = {name for name in _kernels.op_names() if name.startswith("rmsprop")}
    forms = list(itertools.product((False, True), (0.0, 0.9), PLACEMENTS))
    assert {f"{RMSprop(centered=c, momentum=m, eps_placement=p).kernel}_update" for c, m, p in forms} == declared
    assert len(forms) == len(declared)


# ---- documentation


def test_the_documentation_has_every_op_and_all_its_names() -> None:
    page = Path(__file__).parents[1] / "docs" / "op_table.py"
    spec = importlib.util.spec_from_file_location("op_table", page)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    rows = module.rows()
    assert [row[0] for row in rows] == [f"``{name}``" for name in _kernels.op_names()]
    for row, name in zip(rows, _kernels.op_names(), strict=True):
        op = op_table().declaration(name)
        for cell, names in zip(row[1:-1], (op.arrays, op.sizes, op.constants), strict=True):
            assert re.sub(r"\*\*| or None| = 0", "", cell) == ", ".join(names)
        assert row[-1] == (str(op.coefficients) if op.coefficients else "")
    shown = {row[0]: row[1:-1] for row in rows}
    assert shown["``squared_error``"] == ("**loss**, **dy** or None, y, d, weight or None", "width", "")
    assert shown["``dense_backward_weight``"] == ("**dW**, dy, x, tiles", "units, inputs, dy_gap = 0, x_gap = 0", "")
    text = module.text()
    assert len(text) == 4 + 5 * (1 + len(rows))


# ---- coefficients


UPDATES = [name for name in _kernels.op_names() if name.endswith(("_update", "nesterov_enter"))]


@pytest.mark.parametrize("isa", _kernels.complete_isas())
@pytest.mark.parametrize("name", UPDATES)
def test_an_update_reads_as_many_coefficients_as_declared(name: str, isa: str) -> None:
    """A number that is read shows in the result; one more is refused before anything is read."""
    op = op_table(isa).declaration(name)
    lanes = {"avx512": 8, "avx2": 4, "baseline": 2}[isa] if name.startswith("lanes_") else 1  # numbers that have a row each
    row = np.full((op.coefficients + 1, lanes), 0.5)

    def result(coefficients: Array) -> tuple[int, bytes]:
        arrays = [np.full(3 * lanes, 0.25 * (n + 1)) for n in range(len(op.arrays) - 1)]
        done = run_op(
            name, (*arrays, tile_table(3 * lanes)), dtype="float64", axis="tiles", coefficients=coefficients, isa=isa,
            lanes=lanes, rows=lanes,
        )  # fmt: skip
        return done, b"".join(array.tobytes() for array in arrays)

    changed = row.copy()
    changed[op.coefficients] = np.nan
    assert result(row) == result(changed)  # beyond the declared ones
    changed[op.coefficients - 1] = np.nan
    if name != "rprop_update":  # where it is the largest of the step sizes, with which NaN does not compare
        assert result(row) != result(changed)
    columns = op.coefficients * lanes
    with pytest.raises(ValueError, match=f"coefficients must have {columns} columns, which the program reads, got"):
        result(row[: op.coefficients - 1])
    with pytest.raises(ValueError, match=f"coefficients must have {op.coefficients} columns, which the program reads, got 0"):
        program(name).run(examples=4, batch=4)


@pytest.mark.parametrize(
    ("name", "sizes"), [("average", (3,)), ("decay", (3,)), ("shrink", (2, 3)), ("gradient_noise", (0, 0, 3))]
)
def test_columns_that_sizes_name_must_be_there(name: str, sizes: tuple[int, ...]) -> None:
    table = tile_table(3).copy()
    given = operands(name)._replace(sizes=sizes)
    given = given._replace(arrays=(*[np.zeros(3)] * (len(given.arrays) - 1), table))
    table[:, 4] = 2  # the place of the coefficients of these parameters: rows have at least 2 + 3 + 1 numbers
    bound = program(name, given)
    with pytest.raises(ValueError, match="coefficients must have 6 columns, which the program reads, got 5"):
        bound.run(examples=1, batch=1, coefficients=np.zeros((1, 5)))
    for wrong in (np.zeros(6), np.zeros((1, 6), "float32"), np.zeros((1, 12))[:, ::2], np.zeros((1, 6), complex)):
        with pytest.raises(ValueError, match=r"coefficients must be contiguous float64 of shape \(steps, k\)"):
            bound.run(examples=1, batch=1, coefficients=wrong)
