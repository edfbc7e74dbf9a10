"""Devices of other packages: those of pennylane-qiskit as they stand, unfit ones, and a package that is broken."""

import numpy as np
import pennylane as qml
import pytest

from qkd_pl import QNN, DeviceSpec, load_devices
from qkd_pl.devices.constructors import read_keywords
from qkd_pl.devices.plugins import installed_plugins
from qkd_pl.devices.registry import resolve_device
from qkd_pl.errors import DeviceConfigError
from qkd_pl.networks.models import trained


def test_any_installed_device_can_be_named(device_file):
    def noisy():
        qml.BitFlip(0.25, wires=0)
        return qml.expval(qml.Z(0))

    path = device_file("default: m\ndevices:\n  m: {plugin: default.mixed}\n")
    assert load_devices(path)["m"].qnode(noisy, 1)() == pytest.approx(0.5)


@pytest.mark.parametrize("name", ["default.gaussian", "default.qutrit", "default.qutrit.mixed", "null.qubit"])
def test_devices_that_no_network_can_run_on_are_refused_and_not_listed(name):
    with pytest.raises(DeviceConfigError, match=f"{name}'? comput"):
        resolve_device(name)
    with pytest.raises(DeviceConfigError, match=f"plugin: {name} comput"):
        DeviceSpec(name="a", plugin=name)
    with pytest.raises(DeviceConfigError, match=f"{name}' comput"):
        resolve_device(qml.device(name, wires=2))
    with pytest.raises(DeviceConfigError) as unknown:
        resolve_device("moon")
    assert name not in str(unknown.value)


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Makes the device ``foreign`` of a package of this source known."""

    def installed(source: str) -> None:
        (tmp_path / "foreign_device.py").write_text(source)
        (tmp_path / "foreign_device-1.dist-info").mkdir()
        for name, text in {
            "METADATA": "Metadata-Version: 2.1\nName: foreign-device\nVersion: 1\n",
            "entry_points.txt": "[pennylane.plugins]\nforeign = foreign_device:Mine\n",
        }.items():
            (tmp_path / "foreign_device-1.dist-info" / name).write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        installed_plugins.cache_clear()
        read_keywords.cache_clear()

    yield installed
    installed_plugins.cache_clear()
    read_keywords.cache_clear()


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("class Mine(: ...", "SyntaxError"),
        ("from foreign_device import Mine", "ImportError"),
        ("import no_such_module\nclass Mine:\n    def __init__(self, wires): ...", "No module named 'no_such_module'"),
        ("raise SystemError('no GPU')\nclass Mine:\n    def __init__(self, wires): ...", "SystemError: no GPU"),
    ],
)
def test_a_broken_package_disables_its_own_entries_alone(device_file, install, source, why):
    install(source)
    text = "default: a\ndevices:\n  a: {plugin: default.qubit}\n  theirs: {plugin: foreign, level: 1}\n"
    registry = load_devices(device_file(text))
    assert registry["a"].create(1).name == "default.qubit"
    with pytest.raises(DeviceConfigError, match=rf"mine\.yaml: device 'theirs': plugin: foreign .* imported: .*{why}"):
        registry["theirs"]
    with pytest.raises(DeviceConfigError, match=f"device 'foreign': plugin: foreign cannot be imported: .*{why}"):
        resolve_device("foreign").create(1)


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # while Aer lists its names
def test_a_device_that_cannot_be_made_is_named(device_file):
    path = device_file("default: a\ndevices:\n  a: {plugin: qiskit.aer, shots: 5, backend: no_such_simulator}\n")
    with pytest.raises(DeviceConfigError, match=r"device 'a': qiskit\.aer.*no_such_simulator"):
        load_devices(path)["a"].create(2)


def test_qiskit_aer_from_the_plugin(device_file):
    path = device_file("default: aer\ndevices:\n  aer: {plugin: qiskit.aer, shots: 2000, backend: aer_simulator}\n")
    model = trained(QNN(2, 1, embedding="angle"), np.full((2, 2, 3), 0.4))
    inputs = np.array([[0.3, -0.4], [1.0, 2.0]])
    logits = model.logits(inputs, load_devices(path)["aer"])
    np.testing.assert_allclose(logits, model.logits(inputs, "default"), atol=6 / np.sqrt(2000))
    assert logits.std() > 0.05


def test_qiskit_remote_from_the_plugin_takes_the_name_of_a_backend(device_file):
    """Two qubits that stay in |00⟩: on the noisy fake device nearly all shots say so."""
    path = device_file("default: r\ndevices:\n  r: {plugin: qiskit.remote, backend: fake_manila, shots: 200}\n")
    qnode = load_devices(path)["r"].qnode(lambda: qml.expval(qml.Z(0)), 2)
    assert 0.8 < qnode() <= 1.0


def test_qiskit_remote_from_the_plugin_takes_a_backend_object():
    from qiskit_aer import AerSimulator

    spec = DeviceSpec(
        name="remote", plugin="qiskit.remote", shots=2000, options={"backend": AerSimulator(seed_simulator=1)}
    )
    model = trained(QNN(2, 1, embedding="angle"), np.full((2, 2, 3), 0.4))
    inputs = np.array([[0.3, -0.4]])
    np.testing.assert_allclose(model.logits(inputs, spec), model.logits(inputs, "default"), atol=6 / np.sqrt(2000))
