"""Small constants for the examples of the gallery, so that each runs in a second or two: values of names at its top.

A script that is quick as it stands needs no line here.
"""

SMALL: dict[str, dict[str, object]] = {
    "estimators/realmlp": {"SPLITS": 2, "EPOCHS": 2, "UNITS": (8,)},
    "first_hour/3_your_data": {"EPOCHS": 30},
    "gradient/batch_sizes": {"CHUNKS": {1: [1], 32: [1, 1], 1500: [1, 2]}},
    "gradient/drift": {"STEPS": 12, "SEEDS": 1, "RATES": [0.1, 0.2]},
    "gradient/epoch_time": {"N": 64, "REPEATS": 1, "SIZES": [1, 2, 4, 8, 16, 32, 64, 64]},
    "gradient/falling_rate": {"EPOCHS": 5, "N": 50, "SEEDS": 1},
    "gradient/gradient_noise": {"DRAWS": 3},
    "gradient/noisy_path": {"EPOCHS": 2, "FRAMES": 2},
    "gradient/ordered_data": {"EPOCHS": 2},
    "gradient/samplers": {"EPOCHS": 2, "POINTS": 200, "SEEDS": 2, "RATES": [0.3]},
    "gradient/sharpness": {"EXAMPLES": 100, "SEEDS": 2, "BATCHES": [50, 100], "TARGET": 0.5},
    "gradient/sparse_documents": {"ROWS": 200},
    "learning_rate/adam_rate": {"RATES": [1e-4, 1e-3], "SEEDS": 1, "LONGER": 0.2},
    "learning_rate/learning_rate_curves": {"EPOCHS": 2, "SEEDS": 1},
    "learning_rate/plateau": {"EPOCHS": 6, "PATIENCE": 1},
    "learning_rate/rising_momentum": {"SEEDS": 1, "FULL": 12, "SMALL": 12},
    "learning_rate/schedules": {"EPOCHS": 5, "EVERY": 2, "SEEDS": 1},
    "regularization/bagging": {"MEMBERS": 3, "SETS": 2, "EPOCHS": 2},
    "regularization/dropout": {"EPOCHS": 3, "SEEDS": 2, "NETWORKS": [(256, 256)]},
    "regularization/dropout_average": {"EPOCHS": 20, "SAMPLES": 2**14},
    "regularization/l1_and_l2": {"EPOCHS": 20},
    "regularization/noise": {"EPOCHS": 2, "SEEDS": 2},
    "regularization/recipe": {"RATES": [1e-3, 1e-2], "STRENGTHS": [0.0, 1e-3], "SEEDS": 1, "SEARCH_EPOCHS": 2, "EPOCHS": 4},
    "regularization/redundancy": {"EPOCHS": 5, "ORDERS": 2},
    "regularization/weight_decay": {"EPOCHS": 10, "SEEDS": 2},
    "regularization/zoneout": {"EPOCHS": 3, "SEEDS": 2},
    "second_order/convexity": {"POINTS": 8},
    "second_order/first_against_second": {"SECONDS": 0.1, "COPIES": 1},
    "second_order/newton_cost": {"SIZES": (32, 64, 128)},
}
