"""Where circuits run: the registry and the three PennyLane devices of this package."""
