"""Models: networks, their files, and the curvature of their loss."""

from nncore.model.sequential import Sequential, load

__all__ = ["Sequential", "load"]
