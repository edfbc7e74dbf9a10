"""The experiments of the paper (arXiv 2603.21586) and our own, run from a clone by ``python -m reproduction``."""
