"""From a model to a job on a device."""
