"""What a model is and what it can be asked."""

from nncore.model.sequential import Sequential, load

__all__ = ["Sequential", "load"]
