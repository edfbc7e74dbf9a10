"""A PennyLane device that the user made, in the place of a name in the registry."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pennylane as qml

from qkd_pl.checks import cut, kind_of
from qkd_pl.devices.causal_cone import causal_cone
from qkd_pl.devices.plugins import best_diff_method, unfit
from qkd_pl.errors import DeviceConfigError


@dataclass(frozen=True, eq=False)
class GivenDevice:
    """A device object with the interface of :class:`~qkd_pl.devices.spec.DeviceSpec` that training and models use.

    It cannot be written down, so that runs on it have no checkpoints, and jobs need an entry of the registry.

    Attributes:
        device: it must hold the wires of every network that is run on it.
    """

    device: qml.devices.Device

    is_storable = False

    @property
    def name(self) -> str:
        """The plugin's name."""
        return self.device.name

    @property
    def shots(self) -> int | None:
        """Shots that the device was made with; None for exact expectation values."""
        return self.device.shots.total_shots

    @property
    def diff_method(self) -> str:
        """The best that the device has."""
        return best_diff_method(self.name, self.shots)

    def to_json(self) -> dict[str, Any]:
        """What can be said of the device in a model file."""
        return {"name": self.name, "shots": self.shots, "diff_method": self.diff_method}

    def qnode(
        self, quantum_function: Callable, wires: int | Sequence[Any], rng: np.random.Generator | None = None
    ) -> qml.QNode:
        """A QNode of ``quantum_function`` on this device; its sampling noise is its own, whatever ``rng``.

        Raises:
            DeviceConfigError: the device does not hold the wires.
        """
        needed = range(wires) if isinstance(wires, int) else wires
        if self.device.wires is not None and (missing := set(needed) - set(self.device.wires)):
            raise DeviceConfigError(
                f"device {self.name!r} has the wires {cut(self.device.wires.tolist())}; the network needs "
                f"{list(needed)}, and {sorted(missing, key=str)} are missing"
            )
        node = qml.QNode(
            quantum_function,
            self.device,
            interface="autograd",
            diff_method=self.diff_method,
            device_vjp=self.diff_method == "adjoint",
        )
        return node if hasattr(self.device, "causal_cone") else causal_cone(node)


def given_device(device: Any) -> GivenDevice:
    """A PennyLane device as a place to run networks on.

    Raises:
        DeviceConfigError: it is something else.
    """
    if isinstance(device, GivenDevice):
        return device
    if not isinstance(device, qml.devices.Device):
        raise DeviceConfigError(
            f"device is {kind_of(device)}; it must be a name in devices.yaml, a plugin's name, aer or a fake_… "
            "backend, a DeviceSpec, or a PennyLane device"
        )
    if (reason := unfit(device)) is not None:
        raise DeviceConfigError(f"device {device.name!r} {reason}")
    return GivenDevice(device)
