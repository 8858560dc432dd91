"""Data: splitting it, and small sets to try things on."""

from .datasets import load_digits, ordered_lines, two_spirals, xor
from .splits import train_validation_split

__all__ = ["load_digits", "ordered_lines", "train_validation_split", "two_spirals", "xor"]
