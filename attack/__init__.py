"""Attacks on nncore: damaged files, bad arguments, and models that nobody would build, at random, by the million.

``python -m attack files calls --seconds 300 --seed 0`` runs cases and reports; ``python -m attack files --seed 0 --case 1234``
repeats one of them in this process, with its traceback. A subject is a module with a function ``case``: see `attack.pool`.
"""
