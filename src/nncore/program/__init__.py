"""How a model becomes a program: layers record ops on a tape, ops are put into stages, stages are compiled."""
