"""``qkd.lightning``: PennyLane's ``lightning.qubit`` with a native batch of inputs."""

from qkd_pl.devices.lightning.device import BatchedLightning

__all__ = ["BatchedLightning"]
