"""Curvature of the loss at a point: exact products, spectra, and a report."""
