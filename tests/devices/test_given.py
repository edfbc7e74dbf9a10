"""PennyLane devices that a user hands over."""

import numpy as np
import pennylane as qml
import pytest

from qkd_pl import QNN
from qkd_pl.devices.registry import resolve_device
from qkd_pl.errors import DeviceConfigError
from qkd_pl.networks.models import trained


def test_a_pennylane_device_can_be_given():
    model = trained(QNN(2, 1), np.ones((2, 2, 3)))
    exact = model.logits(np.eye(4), "default")
    for name in ("default.qubit", "lightning.qubit", "qkd.lightning"):
        device = qml.device(name, wires=range(2))
        np.testing.assert_allclose(model.logits(np.eye(4), device), exact, atol=1e-12)
    given = resolve_device(qml.device("default.qubit", wires=2))
    assert (given.name, given.shots, given.diff_method) == ("default.qubit", None, "backprop")
    assert given.to_json() == {"name": "default.qubit", "shots": None, "diff_method": "backprop"}
    assert not given.is_storable


def test_a_given_device_must_hold_the_wires_of_the_network():
    model = trained(QNN(3, 1), np.ones((2, 3, 3)))
    with pytest.raises(DeviceConfigError, match=r"has the wires \[0, 1\]; the network needs \[0, 1, 2\].*\[2\]"):
        model.logits(np.eye(8), qml.device("default.qubit", wires=2))


def test_something_else_is_no_device():
    with pytest.raises(DeviceConfigError, match="device is an int; it must be a name in"):
        resolve_device(5)


def test_a_former_device_that_computes_with_something_else_is_refused():
    class Light(qml.devices.DefaultGaussian):
        short_name = "light"

    with pytest.raises(DeviceConfigError, match="'light' computes with the model 'cv', not with qubits"):
        resolve_device(qml.devices.LegacyDeviceFacade(Light(wires=2)))


def test_missing_wires_of_mixed_types_are_named():
    with pytest.raises(DeviceConfigError, match=r"\[1, 'a'\] are missing"):
        resolve_device(qml.device("default.qubit", wires=["b"])).qnode(lambda: qml.expval(qml.Z("b")), ["b", 1, "a"])
