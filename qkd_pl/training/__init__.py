"""One trainer, its losses, and what watches a run."""
