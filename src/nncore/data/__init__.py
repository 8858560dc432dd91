"""Data: splitting it, scaling it, and small sets to try things on."""

from .datasets import load_digits, ordered_lines, two_spirals, xor
from .scaler import Scaler
from .scaling import Decorrelate, MinMaxScaler, StandardScaler
from .splits import train_validation_split

__all__ = [
    "Decorrelate", "MinMaxScaler", "Scaler", "StandardScaler", "load_digits", "ordered_lines", "train_validation_split",
    "two_spirals", "xor",
]  # fmt: skip
