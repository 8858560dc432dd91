"""Attacks on nncore: files, calls, models, kills, hours of use."""
