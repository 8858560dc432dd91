"""The fixed binary tree along which the gradients of the shards of a batch are added.

Node (level, k) is the sum over the shards k · 2^level, …, (k + 1) · 2^level − 1, those that there are, and its
children are (level − 1, 2 k) and (level − 1, 2 k + 1). So shards 0 to 5 are added as ((0 + 1) + (2 + 3)) + (4 + 5). The
tree depends on the number of shards only. Which process adds up a node does not matter: a process with shards 2 and 3 adds
these, one with shards 3 and 4 keeps both as they are, for others have their siblings.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Node", "additions", "joins", "most_nodes", "nodes"]


class Node(NamedTuple):
    """A node of the tree."""

    level: int
    number: int

    @property
    def parent(self) -> Node:
        return Node(self.level + 1, self.number // 2)

    def completes(self, other: Node) -> bool:
        """Whether the other is the left child of the same parent, and this one the right."""
        return self.level == other.level and self.number == other.number + 1 and self.number % 2 == 1


def joins(first: int, last: int) -> NDArray[np.int64]:
    """How many nodes lie on the stack before each of the shards [first, last) comes, and how many of them it completes.

    >>> joins(0, 4).tolist()
    [[0, 0], [1, 1], [1, 0], [2, 2]]
    """
    stack: list[Node] = []
    rows = [(len(stack), _push(stack, Node(0, shard))) for shard in range(first, last)]
    return np.array(rows, dtype=np.int64).reshape(-1, 2)


def nodes(first: int, last: int) -> list[Node]:
    """What is left of the shards [first, last) when all siblings among them have been added.

    >>> nodes(3, 8)
    [Node(level=0, number=3), Node(level=2, number=1)]
    """
    stack: list[Node] = []
    for shard in range(first, last):
        _push(stack, Node(0, shard))
    return stack


def most_nodes(first: int, last: int) -> int:
    """The largest number of nodes of the shards [first, k), k ≤ last.

    >>> most_nodes(0, 4)  # of 0, 1 and 2: 0 + 1, 2
    2
    """
    left = joins(first, last)
    return int((left[:, 0] - left[:, 1]).max(initial=-1)) + 1


def _push(stack: list[Node], node: Node) -> int:
    """Put a node on the stack, or what it completes there in the place of its parts; returns the number of these."""
    before = len(stack)
    while stack and node.completes(stack[-1]):
        stack.pop()
        node = node.parent
    stack.append(node)
    return before + 1 - len(stack)


def additions(leaves: Iterable[Node]) -> list[tuple[int, int]]:
    """The rest of the tree: pairs (left, right) of places in the list, of which the right node is added to the left one.

    The list must have consecutive nodes from shard 0 on; the sum of all ends at place 0. At the end nodes are left without a
    sibling, as their number is no power of two: they are added from the last to the first.

    >>> additions([*nodes(0, 3), *nodes(3, 6)])  # 0 + 1, 2, 3, 4 + 5
    [(1, 2), (0, 1), (0, 3)]
    """
    pairs: list[tuple[int, int]] = []
    stack: list[tuple[int, Node]] = []
    for place, node in enumerate(leaves):
        while stack and node.completes(stack[-1][1]):
            left, _ = stack.pop()
            pairs.append((left, place))
            place, node = left, node.parent
        stack.append((place, node))
    while len(stack) > 1:
        right, _ = stack.pop()
        pairs.append((stack[-1][0], right))
    return pairs
