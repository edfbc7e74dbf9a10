"""Devices as data, made in Python; those of a file are in test_registry.py."""

import numpy as np
import pytest

from qkd_pl import DeviceSpec, load_devices
from qkd_pl.devices.registry import resolve_device
from qkd_pl.errors import DeviceConfigError


def test_specs_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        load_devices()["default"].shots = 5


def test_numpy_numbers_are_numbers():
    spec = DeviceSpec(
        name="a",
        plugin="qkd.ibm",
        shots=np.int64(10),
        seed=np.int32(3),
        max_qpu_seconds=np.float32(2),
        options={"resilience_level": np.int64(1)},
    )
    assert (
        spec.to_json()
        == DeviceSpec(
            name="a", plugin="qkd.ibm", shots=10, seed=3, max_qpu_seconds=2.0, options={"resilience_level": 1}
        ).to_json()
    )
    assert type(spec.shots) is int
    assert type(spec.options["resilience_level"]) is int


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (
            {"plugin": "default.qbit"},
            r"device 'a': plugin: 'default.qbit' is not installed \(did you mean default.qubit",
        ),
        ({"plugin": "default.qubit", "shots": 0}, "device 'a': shots: .*greater than 0"),
        ({"plugin": "default.qubit", "colour": 1}, "device 'a': colour"),
        ({}, "device 'a': plugin: is missing; allowed: .*default.qubit"),
        ({"plugin": "default.qubit", "diff_method": "adjont"}, r"diff_method: 'adjont'.*did you mean adjoint\?"),
        ({"plugin": "qkd.ibm", "max_qpu_seconds": float("nan")}, "max_qpu_seconds"),
        ({"plugin": "qkd.ibm", "max_qpu_seconds": float("inf")}, "max_qpu_seconds"),
        ({"plugin": "qkd.ibm", "shots": 5, "options": {"backend": "ibm_torino"}}, "max_qpu_seconds: is missing"),
        (
            {"plugin": "qiskit.remote", "shots": 5, "options": {"backend": "ibm_torino"}},
            "knows no limit of QPU time; on hardware use plugin qkd.ibm",
        ),
    ],
    ids=str,
)
def test_errors_of_a_spec_are_ours(settings, named):
    with pytest.raises(DeviceConfigError, match=named):
        DeviceSpec(name="a", **settings)


def test_a_changed_spec_is_checked():
    spec = DeviceSpec(name="a", plugin="default.qubit", shots=5)
    assert spec.changed(shots=7).shots == 7
    with pytest.raises(DeviceConfigError, match="shots"):
        spec.changed(shots=-1)


def test_unknown_options_are_refused():
    with pytest.raises(DeviceConfigError, match=r"max_worker: unknown key \(did you mean max_workers"):
        DeviceSpec(name="a", plugin="default.qubit", options={"max_worker": 1})


def test_options_that_the_source_does_not_tell_are_refused_when_the_device_is_made(monkeypatch):
    monkeypatch.setattr("qkd_pl.devices.plugins.read_keywords", lambda module, name: None)
    spec = DeviceSpec(name="a", plugin="default.qubit", options={"max_worker": 1})
    with pytest.raises(DeviceConfigError, match=r"max_worker: unknown key \(did you mean max_workers"):
        spec.create(1)


def test_a_setting_among_the_options_is_sent_to_its_place():
    with pytest.raises(DeviceConfigError, match="shots: is a setting of its own, not an option; write shots=10"):
        DeviceSpec(name="a", plugin="default.qubit", options={"shots": 10})


def test_an_option_that_a_device_needs_is_named():
    with pytest.raises(DeviceConfigError, match=r"backend: is missing; qiskit.remote needs it, for example options="):
        resolve_device("qiskit.remote").create(1)


def test_objects_among_the_options_are_named_by_their_type():
    spec = DeviceSpec(name="a", plugin="default.qubit", options={"seed": np.random.default_rng(0)})
    assert not spec.is_storable
    assert spec.to_json()["options"] == {"seed": "<numpy.random._generator.Generator>"}
    assert DeviceSpec(name="a", plugin="default.qubit", options={"max_workers": 2}).is_storable


@pytest.mark.parametrize(
    ("setting", "told"), [("shts", r"did you mean shots\?"), ("backend", r"options=\{'backend': …\}")]
)
def test_a_setting_that_a_spec_has_not_is_refused_with_what_to_write(setting, told):
    with pytest.raises(DeviceConfigError, match=told):
        DeviceSpec(name="mine", plugin="default.qubit", **{setting: 1})
