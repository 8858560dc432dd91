"""Shared utilities: checked fields, checks of data, files, figures, hints."""
