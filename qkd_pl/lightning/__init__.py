"""``qkd.lightning``: PennyLane's ``lightning.qubit`` with a native batch of inputs."""

from qkd_pl.lightning.device import BatchedLightning

__all__ = ["BatchedLightning"]
