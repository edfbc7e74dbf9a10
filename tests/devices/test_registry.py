"""``devices.yaml``, and what people call a device."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pennylane as qml
import pytest
import yaml

from qkd_pl import QNN, DeviceSpec, load_devices
from qkd_pl.devices.registry import resolve_device
from qkd_pl.errors import DeviceConfigError
from qkd_pl.networks.models import trained

GOOD = "default: a\ndevices:\n  a:\n    plugin: default.qubit\n"


def entry(**keys) -> str:
    return yaml.safe_dump({"default": "good", "devices": {"good": {"plugin": "default.qubit"}, "bad": keys}})


# --- what can be said


def test_the_shipped_registry():
    registry = load_devices()
    assert registry.default == "lightning"
    assert {"lightning", "default", "sampled", "spsa"} <= set(registry)
    assert registry["lightning"].shots is None
    assert registry["lightning"].diff_method == "adjoint"


@pytest.mark.parametrize("name", ["lightning", "default", "sampled", "spsa"])
def test_every_simulator_of_the_shipped_registry_runs(name):
    model = trained(QNN(2, 1), np.ones((2, 2, 3)))
    exact = model.logits(np.eye(4), "default")
    # 4,096 shots: six standard deviations of at most 1/64
    np.testing.assert_allclose(model.logits(np.eye(4), name), exact, atol=1e-10 if "l" in name[:2] else 6 / 64)


def test_a_full_entry(device_file):
    path = device_file(
        "default: full\n"
        "devices:\n"
        "  full:\n"
        "    plugin: lightning.qubit\n"
        "    shots: 128\n"
        "    diff_method: spsa\n"
        "    seed: 3\n"
        "    causal_cone: false\n"
        "    gradient_options: {num_directions: 2}\n"
        "    mcmc: true\n"
        "    num_burnin: 10\n"
    )
    spec = load_devices(path)["full"]
    assert spec == DeviceSpec(
        name="full",
        plugin="lightning.qubit",
        shots=128,
        diff_method="spsa",
        seed=3,
        causal_cone=False,
        gradient_options={"num_directions": 2},
        options={"mcmc": True, "num_burnin": 10},
    )
    assert spec.create(2).name == "lightning.qubit"
    assert spec.qnode(lambda: qml.expval(qml.Z(0)), 1).shots.total_shots == 128


def test_the_registry_is_a_mapping(device_file):
    path = device_file(GOOD)
    registry = load_devices(path)
    assert registry.path == path
    assert list(registry) == ["a"]
    assert len(registry) == 1
    assert "a" in registry
    assert "b" not in registry
    with pytest.raises(DeviceConfigError, match="no device 'b'; there are: a"):
        registry["b"]


def test_a_printed_registry_names_file_and_devices(device_file):
    path = device_file("default: a\ndevices:\n  a: {plugin: default.qubit}\n  b: {plugin: lightning.qubit}\n")
    assert repr(load_devices(path)) == f"<DeviceRegistry {path}: a, b; default a>"


def test_seeds_make_sampling_reproducible(device_file):
    path = device_file("default: s\ndevices:\n  s: {plugin: default.qubit, shots: 50, seed: 1}\n")
    model = trained(QNN(2, 1), np.ones((2, 2, 3)))
    spec = load_devices(path)["s"]
    np.testing.assert_array_equal(model.logits(np.eye(4), spec), model.logits(np.eye(4), spec))


# --- where it is looked up


def test_order_of_the_look_up(device_file, tmp_path, monkeypatch):
    def named(name: str, file: str) -> Path:
        return device_file(GOOD.replace("default: a", f"default: {name}").replace("  a:", f"  {name}:"), file)

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("QKD_PL_DEVICES", raising=False)
    assert load_devices().default == "lightning"
    named("local", "devices.yaml")
    assert load_devices().default == "local"
    monkeypatch.setenv("QKD_PL_DEVICES", str(named("variable", "variable.yaml")))
    assert load_devices().default == "variable"
    assert load_devices(named("argument", "argument.yaml")).default == "argument"
    assert load_devices(str(tmp_path / "argument.yaml")).default == "argument"


def test_a_missing_file_is_an_error_even_if_others_exist(tmp_path, monkeypatch):
    with pytest.raises(DeviceConfigError, match=r"absent\.yaml: no such device file"):
        load_devices(tmp_path / "absent.yaml")
    monkeypatch.setenv("QKD_PL_DEVICES", str(tmp_path / "gone.yaml"))
    with pytest.raises(DeviceConfigError, match=r"gone\.yaml: no such device file"):
        load_devices()


def test_an_unchanged_file_is_read_once(device_file):
    path = device_file(GOOD)
    assert load_devices(path) is load_devices(path)
    first = load_devices(path)
    path.write_text(GOOD + "    seed: 5\n")
    assert load_devices(path) is not first
    assert load_devices(path)["a"].seed == 5


def test_a_home_directory_can_be_written_as_a_tilde(device_file, tmp_path, monkeypatch):
    device_file(GOOD)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert load_devices("~/mine.yaml").default == "a"
    monkeypatch.setenv("QKD_PL_DEVICES", "~/mine.yaml")
    assert load_devices().default == "a"


# --- what people call a device


@pytest.mark.parametrize(
    ("name", "plugin", "shots", "diff_method"),
    [
        ("default.qubit", "default.qubit", None, "backprop"),
        ("lightning.qubit", "lightning.qubit", None, "adjoint"),
        ("qkd.lightning", "qkd.lightning", None, "adjoint"),
        ("default.mixed", "default.mixed", None, "backprop"),
        ("qiskit.aer", "qiskit.aer", 4096, "parameter-shift"),
        ("fake_torino", "qkd.ibm", 4096, "parameter-shift"),
        ("aer", "qkd.ibm", 4096, "parameter-shift"),
    ],
)
def test_a_plugin_or_a_simulated_backend_can_be_named(device_file, monkeypatch, name, plugin, shots, diff_method):
    monkeypatch.setenv("QKD_PL_DEVICES", str(device_file(GOOD)))
    spec = resolve_device(name)
    assert (spec.name, spec.plugin, spec.shots, spec.diff_method) == (name, plugin, shots, diff_method)
    assert not spec.runs_on_hardware
    if plugin == "qkd.ibm":
        assert spec.backend == name


def test_an_entry_comes_before_a_plugin_of_the_same_name(device_file, monkeypatch):
    path = device_file("default: aer\ndevices:\n  aer: {plugin: default.qubit}\n")
    monkeypatch.setenv("QKD_PL_DEVICES", str(path))
    assert resolve_device("aer").plugin == "default.qubit"


@pytest.mark.parametrize("name", ["ibm_torino", "least_busy"])
def test_a_bare_name_of_hardware_is_refused_with_the_entry_to_write(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("QKD_PL_DEVICES", raising=False)
    with pytest.raises(DeviceConfigError, match=f"{name}' is hardware.*entry") as refused:
        resolve_device(name)
    before, _, text = str(refused.value).partition("under devices:\n")
    assert "write in ./devices.yaml, a copy of" in before  # what is installed is nobody's to write in
    path = tmp_path / "devices.yaml"
    path.write_text(f"default: {name.removeprefix('ibm_')}\ndevices:\n{text}\n")
    spec = load_devices(path)[name.removeprefix("ibm_")]
    assert spec.backend == name
    assert spec.runs_on_hardware
    assert spec.max_qpu_seconds == 60


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("default.qbit", "default.qubit"),
        ("lightening", "lightning"),
        ("sampeld", "sampled"),
        ("qkd.lightnin", "qkd.lightning"),
        ("Default.Qubit", "default.qubit"),
        ("FAKE_MANILA", "fake_manila"),
        ("fake-torino", "fake_torino"),
        ("fake_torin", "fake_torino"),
        ("moon", "there are: lightning"),
    ],
)
def test_a_misspelt_name_gets_the_nearest_ones(name, meant):
    with pytest.raises(DeviceConfigError, match=rf"no device '{name}'.*{meant}"):
        resolve_device(name)


def test_resolve_device(device_file, monkeypatch):
    spec = DeviceSpec(name="own", plugin="default.qubit")
    assert resolve_device(spec) is spec
    assert resolve_device("sampled").shots == 4096
    assert resolve_device().name == "lightning"
    monkeypatch.setenv("QKD_PL_DEVICES", str(device_file(GOOD)))
    assert resolve_device(None).name == "a"


# --- what cannot be said


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"plugin": "default.qubit", "shot": 5}, ["shot: unknown key", "allowed: plugin, shots"]),
        ({"plugin": "default.qbit"}, ["plugin: 'default.qbit' is not installed", "allowed:.*default.qubit"]),
        ({"shots": 5}, ["plugin: is missing; allowed: .*default.qubit"]),
        ({"plugin": 5}, ["plugin", "5"]),
        ({"plugin": "default.qubit", "shots": -5}, ["shots", "greater than 0", "-5"]),
        ({"plugin": "default.qubit", "shots": 0}, ["shots", "greater than 0"]),
        ({"plugin": "default.qubit", "shots": 10.5}, ["shots", "integer", "10.5"]),
        ({"plugin": "default.qubit", "shots": "many"}, ["shots", "integer", "many"]),
        ({"plugin": "default.qubit", "shots": True}, ["shots", "integer", "True"]),
        (
            {"plugin": "qkd.ibm", "token_env": "kRm3-aPiKey"},
            ["token_env: must name an environment variable in capitals"],
        ),
        ({"plugin": "default.qubit", "seed": -1}, ["seed", "greater than or equal to 0"]),
        ({"plugin": "default.qubit", "causal_cone": "yes"}, ["causal_cone", "boolean"]),
        ({"plugin": "default.qubit", "diff_method": "best"}, ["diff_method", "'adjoint'.*'parameter-shift'", "best"]),
        (
            {"plugin": "lightning.qubit", "shots": 100, "diff_method": "adjoint"},
            ["diff_method: 'adjoint' needs exact", "shots is 100", "shots: null"],
        ),
        ({"plugin": "default.qubit", "shots": 1, "diff_method": "backprop"}, ["diff_method: 'backprop'", "shots is 1"]),
        ({"plugin": "lightning.qubit", "diff_method": "backprop"}, ["diff_method", "needs plugin default.qubit"]),
        ({"plugin": "qiskit.aer"}, ["shots: 'qiskit.aer' samples", "positive number"]),
        ({"plugin": "default.qubit", "mcmc": True}, ["mcmc: unknown key", "allowed: .*max_workers"]),
        ({"plugin": "default.qubit", "wires": 5}, ["wires: unknown key"]),
        ({"plugin": "default.qubit", "options": {"max_workers": 1}}, ["options: unknown key"]),
        ({"plugin": "default.qubit", "gradient_options": [1]}, ["gradient_options", "dictionary"]),
        ({"plugin": "default.qubit", "gradient_options": {"h": 1}}, ["gradient_options: backprop takes no h"]),
        (
            {"plugin": "default.qubit", "diff_method": "spsa", "gradient_options": {"directions": 1}},
            ["gradient_options: spsa takes no directions", "num_directions"],
        ),
        ({"plugin": "qiskit.aer", "shots": 10, "seed": 5}, ["seed: qiskit.aer takes none"]),
        ({"plugin": "lightning.qubit", "max_qpu_seconds": 5}, ["max_qpu_seconds: lightning.qubit", "plugin qkd.ibm"]),
        ({"name": "other", "plugin": "default.qubit"}, ["name: unknown key", "allowed: plugin"]),
    ],
    ids=str,
)
def test_a_wrong_entry_is_one_error_that_names_file_entry_key_and_what_is_allowed(device_file, keys, named):
    path = device_file(entry(**keys))
    with pytest.raises(DeviceConfigError) as error:
        load_devices(path)["bad"]
    for part in [r"mine\.yaml", "device 'bad'", *named]:
        error.match(part)


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"plugin": "qkd.ibm", "shots": 5, "token": "kRm3"}, r"token: unknown key \(did you mean token_env\?\)"),
        ({"plugin": "qkd.ibm", "optimisation_level": 1}, r"unknown key \(did you mean optimization_level\?\)"),
        # before the shots that are then missing
        ({"plugin": "qkd.ibm", "backend": "fake_manila", "shot": 5}, r"shot: unknown key \(did you mean shots\?\)"),
        ({"plugin": "qkd.noisy", "memory": 5}, r"memory: unknown key \(did you mean memory_limit\?\)"),
        ({"plugin": "qkd.lightning", "worker": 2}, r"worker: unknown key \(did you mean workers\?\)"),
        ({"plugin": "lightning.qubit", "batch_ops": True}, r"batch_ops: unknown key \(did you mean batch_obs\?\)"),
        ({"plugin": "lightning.qubit", "max_qpu_seconds": 5}, "max_qpu_seconds: lightning.qubit knows no such limit"),
    ],
    ids=str,
)
def test_what_a_device_does_not_take_is_refused_when_the_file_is_read(device_file, keys, named):
    path = device_file(entry(**keys))
    with pytest.raises(DeviceConfigError, match=rf"mine\.yaml: device 'bad': .*{named}") as error:
        load_devices(path)
    assert "kRm3" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"plugin": "qiskit.aer", "metod": "mps"}, r"metod: unknown key \(did you mean method"),
        ({"plugin": "qiskit.aer", "max_parallel_threads": 1}, "max_parallel_threads: unknown key"),
        (
            {"plugin": "qiskit.remote", "backend": "fake_manila", "optimization_level": 1},
            "optimization_level: unknown key",
        ),
    ],
    ids=str,
)
def test_what_a_device_keeps_for_a_simulator_is_checked_when_it_is_looked_up(device_file, options, named):
    registry = load_devices(device_file(entry(shots=5, **options)))
    with pytest.raises(DeviceConfigError, match=rf"mine\.yaml: device 'bad': {named}"):
        registry["bad"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "needs the top-level keys default, devices"),
        ("[]", "needs the top-level keys.*found: list"),
        ("devices: {}", "needs the top-level keys.*found: devices"),
        (GOOD + "version: 1\n", "found: default, devices, version"),
        ("default: a\ndevices: {}\n", "devices must map names to entries"),
        ("default: a\ndevices: [a]\n", "devices must map names to entries"),
        ("default: a\ndevices:\n  a: default.qubit\n", "device 'a': must be a mapping"),
        ("default: a\ndevices:\n  a:\n", "device 'a': must be a mapping"),
        (GOOD.replace("default: a", "default: b"), "default is 'b', but there is no such device; allowed: a"),
        (GOOD.replace("default: a", "default: [a]"), r"default is \['a'\]"),
        (GOOD.replace("default: a", "default:"), "default is None"),
        (GOOD + "    plugin: lightning.qubit\n", "duplicate key 'plugin'"),
        (GOOD + "  a:\n    plugin: lightning.qubit\n", "duplicate key 'a'"),
        (GOOD + "default: a\n", "duplicate key 'default'"),
        (GOOD + "  5: {plugin: default.qubit}\n", "key 5 is not a string"),
        (GOOD + "  ? [x]\n  : {plugin: default.qubit}\n", "is not a string"),
        ("default: a\n  devices: - {", "not valid YAML"),
        ("default: 'a", "not valid YAML"),
        (GOOD + "\tb: 1", "not valid YAML"),
        (GOOD + "    seed: 2001-13-41\n", "not valid YAML"),
        (GOOD + "    seed: *nobody\n", "not valid YAML"),
        (GOOD + "---\n" + GOOD, "not valid YAML"),
        ("default: b\ndevices:\n  a: &a {plugin: default.qubit}\n  b: *a\n", "alias .a: aliases are not allowed"),
        ("default: b\ndevices:\n  a: &a {plugin: default.qubit}\n  b:\n    <<: *a\n", "aliases are not allowed"),
        (GOOD + '    seed: !!int ""\n', "tags are not allowed"),
        (GOOD + "    seed: !!float 5\n", "tags are not allowed"),
        (GOOD + "    options: " + "[" * 30 + "]" * 30 + "\n", "more than 20 levels"),
        (GOOD + "    options: " + "[" * 100_000 + "\n", "more than 20 levels"),
        (GOOD + "    seed: 0x_\n", "not valid YAML"),
        (GOOD + "#" * 1_000_000, "is larger than 1,000,000 bytes"),
        (b"default: \xff\xfe", "cannot be read"),
        (b"default: \x00", "not valid YAML"),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_a_wrong_file_is_one_error_that_names_it(device_file, text, named):
    with pytest.raises(DeviceConfigError, match=rf"mine\.yaml: .*{named}"):
        load_devices(device_file(text))


def test_errors_in_the_yaml_name_the_line(device_file):
    with pytest.raises(DeviceConfigError, match=r"(?s)duplicate key 'plugin'.*line 5"):
        load_devices(device_file(GOOD + "    plugin: lightning.qubit\n"))


def test_a_directory_is_no_device_file(tmp_path):
    with pytest.raises(DeviceConfigError, match="cannot be read"):
        load_devices(tmp_path)


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:os.system ['touch {proof}']",
        "!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ['{proof}']]",
        "!!python/name:os.system",
        "!!python/object/new:subprocess.Popen [['touch', '{proof}']]",
        "!!python/module:antigravity",
        "!!python/tuple [1, 2]",
    ],
)
@pytest.mark.parametrize("place", ["    seed: {}\n", "    {}: 1\n", "    max_workers: {{a: {}}}\n"])
def test_nothing_in_yaml_is_executed(device_file, tmp_path, tag, place):
    proof = tmp_path / "proof"
    path = device_file(GOOD + place.format(tag.format(proof=proof)))
    with pytest.raises(DeviceConfigError, match=r"mine\.yaml: not valid YAML: "):
        load_devices(path)
    assert not proof.exists()
    assert "antigravity" not in sys.modules


_PRINT_PATH = "from qkd_pl import load_devices; r = load_devices(); print(r.path); print(r.default)"


def test_the_shipped_registry_is_found_from_any_directory(tmp_path):
    command = [sys.executable, "-c", _PRINT_PATH]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout.splitlines()
    assert Path(printed[0]).name == "devices.yaml"
    assert printed[1] == "lightning"


def test_a_key_in_the_place_of_its_variable_is_not_repeated(device_file):
    key = "kRm3-aPiKey_0123456789"
    path = device_file(f"default: a\ndevices:\n  a:\n    plugin: qkd.ibm\n    token_env: {key}\n")
    with pytest.raises(DeviceConfigError, match="token_env") as from_file:
        load_devices(path)["a"]
    with pytest.raises(ValueError, match="token_env") as from_code:
        DeviceSpec(name="a", plugin="qkd.ibm", options={"token_env": key})
    assert key not in str(from_file.value) + str(from_code.value)
