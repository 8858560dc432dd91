"""Small constants for the examples of the gallery, so that each runs in a second or two: values of names at its top.

A script that is quick as it stands needs no line here.
"""

SMALL: dict[str, dict[str, object]] = {
    "first_hour/3_your_data": {"EPOCHS": 30},
    "gradient/ordered_data": {"EPOCHS": 2},
    "landscapes/basins": {"POINTS": 13, "STEPS": 40},
    "landscapes/beale": {"STEPS": 100, "FRAMES": 3},
    "landscapes/cliffs": {"STEPS": 5, "GRID": 9},
    "landscapes/escape": {"STEPS": 300},
    "landscapes/ill_conditioning": {"EXAMPLES": 60, "EPOCHS": 5},
    "landscapes/long_valley": {"RATES": [0.1, 1.0], "STEPS": 100, "FRAMES": 3},
    "landscapes/loss_surface": {"EXAMPLES": 60, "EPOCHS": 4, "POINTS": 5},
    "landscapes/rosenbrock": {"STEPS": 40, "BUDGET": 4, "STARTS": 2},
    "landscapes/saddle": {"DISTANCES": [0.1, 0.01], "STEPS": 400, "FRAMES": 3},
}
