"""One value for each member of an ensemble."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NoReturn

from nncore._messages import shown
from nncore._utils.arrays import several

if TYPE_CHECKING:
    Anything = Any
else:
    Anything = object

__all__ = ["Each", "for_member", "has_each", "of_member"]


class Each(Anything):  # it stands for a number or an object
    """One value for each member of an `Ensemble`, in the place of a number, a schedule or an object.

    Learning rates and other hyper-parameters of optimizers, strengths of penalties, rates of dropout and other numbers, counts
    apart, among the arguments of layers, losses, samplers, subsets and callbacks take it, and so do all arguments of a
    `Trainer` but ``seed``.

    Parameters
    ----------
    values : iterable
        As many as the ensemble has members.

    Raises
    ------
    ValueError
        Where it is used without an ensemble, or with one of another number of members; if a value is an `Each` itself.

    Examples
    --------
    >>> import numpy as np
    >>> import nncore as nn
    >>> model = nn.Sequential([nn.Dense(1)], input_shape=1)
    >>> rates = nn.Each([0.01, 0.1, 1.0])
    >>> trainer = nn.Trainer(nn.Ensemble(model, 3), "squared_error", nn.SGD(lr=rates))
    >>> history = trainer.fit([[0.0], [1.0]], [[0.0], [1.0]], epochs=20, verbose=0)
    >>> history["running_loss"][-1].argmin()
    np.int64(2)
    """

    def __init__(self, values: Iterable[Any]) -> None:
        if not several(values):
            raise TypeError(f"values must be a list with one value for each member, got {shown(values)}")
        self.values = tuple(values)
        if not self.values:
            raise ValueError("values must have one value for each member, got none")
        if nested := [value for value in self.values if isinstance(value, Each)]:
            raise ValueError(f"values must be those of the members, not an Each again, got {shown(nested[0])} among them")

    def checked(self, check: Callable[[Any], Any]) -> Each:
        """The values as a field keeps them, which takes this in the place of one."""
        return Each(check(value) for value in self.values)

    def __len__(self) -> int:
        return len(self.values)

    def __deepcopy__(self, memo: dict[Any, Any]) -> Any:
        """Itself; within `of_member` the member's value."""
        return copy.deepcopy(memo[Each](self), memo) if Each in memo else self

    def __repr__(self) -> str:
        return f"Each({list(self.values)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Each) and self.values == other.values

    def __hash__(self) -> int:
        return hash(self.values)

    def _refuse(self, *args: Any) -> NoReturn:
        raise ValueError(f"{shown(self)} has one value for each member of an ensemble: give the trainer an nn.Ensemble")

    __float__ = __int__ = __index__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __neg__ = __bool__ = _refuse


def has_each(value: Any) -> bool:
    """Whether an attribute of the object, or of an object that it holds, is an `Each`."""
    return any(isinstance(part, Each) or (hasattr(part, "_field_names") and has_each(part)) for part in vars(value).values())


def of_member(copied: Callable[[dict[Any, Any]], Any], number: int, members: int | None) -> tuple[Any, bool]:
    """What ``copied(memo)``, a deep copy, makes for a member; and whether it has values of its own in it.

    ``members``: how many there are, to compare with, unless None.
    """
    found = []

    def chosen(each: Each) -> Any:
        if members is not None and len(each) != members:
            raise ValueError(f"{shown(each)} must have a value for each of {members} members, got {len(each)}")
        found.append(each)
        return each.values[number]

    return copied({Each: chosen}), bool(found)


def for_member(value: Any, number: int, members: int) -> Any:
    """The object with a member's values: itself if it has no `Each`."""
    return of_member(lambda memo: copy.deepcopy(value, memo), number, members)[0] if has_each(value) else value
