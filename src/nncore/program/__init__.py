"""Programs: layers record ops on a tape, ops are put into stages, stages are compiled."""
