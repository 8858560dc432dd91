"""Small constants for the examples of the gallery, so that each runs in a second or two: values of names at its top.

A script that is quick as it stands needs no line here.
"""

SMALL: dict[str, dict[str, object]] = {
    "first_hour/3_your_data": {"EPOCHS": 30},
    "gradient/ordered_data": {"EPOCHS": 2},
    "second_order/first_against_second": {"SECONDS": 0.1, "COPIES": 1},
    "second_order/newton_cost": {"SIZES": (32, 64, 128)},
    "second_order/convexity": {"POINTS": 8},
    "regularization/recipe": {"RATES": [1e-3, 1e-2], "STRENGTHS": [0.0, 1e-3], "SEEDS": 1, "SEARCH_EPOCHS": 2, "EPOCHS": 4},
    "regularization/bagging": {"MEMBERS": 3, "SETS": 2, "EPOCHS": 2},
    "regularization/dropout": {"EPOCHS": 3, "SEEDS": 2, "NETWORKS": [(256, 256)]},
    "regularization/dropout_average": {"EPOCHS": 20, "SAMPLES": 2**14},
    "regularization/l1_and_l2": {"EPOCHS": 20},
    "regularization/noise": {"EPOCHS": 2, "SEEDS": 2},
    "regularization/redundancy": {"EPOCHS": 5, "ORDERS": 2},
    "regularization/weight_decay": {"EPOCHS": 10, "SEEDS": 2},
    "regularization/zoneout": {"EPOCHS": 3, "SEEDS": 2},
}
