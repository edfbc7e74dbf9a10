"""What a trainer is given: settings, data, teacher and device; what it takes, and what it refuses."""

import numpy as np
import pytest
from small_training import ARCHITECTURE, DATA, INPUTS, LABELS, TEACHER, Spy

from qkd_pl import QAE, QNN, CrossEntropy, Distillation, KDTrainer, SquaredError, load_model
from qkd_pl.errors import DeviceConfigError, InvalidInputError


def test_initial_weights_are_used_and_left_alone():
    start = np.ones(ARCHITECTURE.weights_shape)
    spy = Spy()
    KDTrainer(iterations=1, device="default").fit(ARCHITECTURE, DATA, initial=start, callbacks=[spy])
    np.testing.assert_array_equal(spy.weights[0], start)
    np.testing.assert_array_equal(start, 1.0)
    assert not np.array_equal(spy.weights[1], start)


def test_a_batch_larger_than_the_data_is_the_data():
    one = KDTrainer(iterations=2, batch_size=10, device="default").fit(ARCHITECTURE, DATA)
    two = KDTrainer(iterations=2, batch_size=99, device="default").fit(ARCHITECTURE, DATA)
    np.testing.assert_array_equal(one.weights, two.weights)


@pytest.mark.parametrize(
    ("setting", "value", "allowed"),
    [
        ("iterations", 0, "at least 1"),
        ("batch_size", 0, "at least 1"),
        ("seed", -1, "at least 0"),
        ("seed", None, "at least 0"),
        ("learning_rate", 0.0, "above 0"),
        ("learning_rate", float("nan"), "above 0"),
        ("learning_rate", "fast", "a number, a schedule, or a function"),
        ("optimizer", "sgd", "must be one of .gradient-descent., .momentum., .adagrad., .rmsprop., .adam."),
        ("weight_decay", -1e-3, "of at least 0"),
    ],
)
def test_wrong_settings_are_named_when_fitting(setting, value, allowed):
    trainer = KDTrainer(**{setting: value})
    with pytest.raises(InvalidInputError, match=f"{setting}={value!r}.*{allowed}"):
        trainer.fit(ARCHITECTURE, DATA)


@pytest.mark.parametrize(
    ("data", "keywords", "message"),
    [
        ((INPUTS, None), {}, "labels are None"),
        ((INPUTS, LABELS[:3]), {}, r"labels have shape \(3,\); expected one per sample, \(10,\)"),
        ((INPUTS, LABELS + 1), {}, "integers from 0 to 1"),
        ((INPUTS, LABELS - 2), {}, "integers from 0 to 1"),
        ((INPUTS, np.full(10, -1)), {}, "no sample has a label"),
        ((INPUTS, LABELS + 0.5), {"loss": CrossEntropy()}, "integers from 0 to 1"),
        ((INPUTS, LABELS.astype(float)), {}, "integers from 0 to 1"),
        ((INPUTS[:0], LABELS[:0]), {}, "no samples"),
        ((INPUTS[:, :1], LABELS), {}, r"inputs have shape \(10, 1\)"),
        (DATA, {"teacher": TEACHER[:4]}, r"teacher's logits have shape \(4, 2\)"),
        (INPUTS, {}, r"train: must be a pair \(inputs, labels\)"),
        (DATA, {"checkpoint_every": 0}, "checkpoint_every=0"),
        (DATA, {"initial": np.zeros(3)}, r"initial weights have shape \(3,\).*\(2, 2, 3\)"),
        (DATA, {"sample_weight": np.ones(3)}, r"sample_weight has shape \(3,\)"),
        (DATA, {"sample_weight": np.zeros(10)}, "not all zero"),
        (DATA, {"sample_weight": -np.ones(10)}, "not negative"),
        (DATA, {"loss": "kl"}, "loss='kl'"),
        (DATA, {"loss": Distillation()}, "teacher is None"),
    ],
)
def test_wrong_data_is_named(data, keywords, message):
    with pytest.raises(InvalidInputError, match=message):
        KDTrainer(device="default").fit(ARCHITECTURE, data, **keywords)


def test_an_autoencoder_takes_no_teacher():
    with pytest.raises(InvalidInputError, match="trained by fidelity, without a teacher"):
        KDTrainer(device="default").fit(QAE(2, 1, 1), (np.eye(4), None), teacher=TEACHER)


def test_an_unknown_device_is_named():
    with pytest.raises(DeviceConfigError, match="no device 'moon'"):
        KDTrainer(device="moon").fit(ARCHITECTURE, DATA)


def test_a_bare_name_of_hardware_is_refused_before_the_teacher_is_asked():
    asked = []
    with pytest.raises(DeviceConfigError, match="'ibm_torino' is hardware"):
        KDTrainer(device="ibm_torino").check_settings()
    with pytest.raises(DeviceConfigError, match="'ibm_torino' is hardware"):
        KDTrainer(device="ibm_torino").fit(ARCHITECTURE, DATA, teacher=lambda inputs: asked.append(inputs))
    assert not asked


def test_without_a_device_the_registrys_default_is_used(tmp_path, monkeypatch):
    entry = "  mine: {plugin: default.qubit, diff_method: backprop}\n"
    (tmp_path / "devices.yaml").write_text("default: mine\ndevices:\n" + entry)
    monkeypatch.setenv("QKD_PL_DEVICES", str(tmp_path / "devices.yaml"))
    assert KDTrainer(iterations=1).fit(ARCHITECTURE, DATA).training["device"]["name"] == "mine"


def test_only_architectures_are_trained():
    model = KDTrainer(iterations=1, device="default").fit(ARCHITECTURE, DATA)
    with pytest.raises(InvalidInputError, match="network is a TrainedQNN"):
        KDTrainer(device="default").fit(model, DATA)


def test_distillation_alone_needs_no_labels():
    trainer = KDTrainer(iterations=3, device="default")
    unlabelled = trainer.fit(ARCHITECTURE, (INPUTS, None), teacher=TEACHER)
    np.testing.assert_array_equal(unlabelled.weights, trainer.fit(ARCHITECTURE, DATA, teacher=TEACHER).weights)
    with pytest.raises(InvalidInputError, match="labels are None"):
        trainer.fit(ARCHITECTURE, (INPUTS, None), teacher=TEACHER, loss=Distillation(alpha=0.5))


def test_numpys_numbers_are_settings_and_are_stored_as_numbers(tmp_path):
    network = QNN(n_qubits=np.int64(2), n_layers=np.int32(1), embedding="angle")
    trainer = KDTrainer(iterations=np.int64(2), learning_rate=np.float32(0.25), seed=np.int64(1), device="default")
    model = trainer.fit(network, DATA, checkpoint=tmp_path / "run", checkpoint_every=np.int64(1))
    model.save(tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors")
    assert loaded.network == ARCHITECTURE
    assert loaded.training["learning_rate"] == 0.25
    assert trainer.fit(network, DATA, checkpoint=tmp_path / "run").history == loaded.history


def test_inputs_and_labels_are_one_pair():
    with pytest.raises(InvalidInputError, match=r"one pair, fit\(network, \(inputs, labels\)\)"):
        KDTrainer(device="default").fit(ARCHITECTURE, INPUTS, LABELS)


def test_nan_and_minus_one_stand_for_no_label():
    trainer = KDTrainer(iterations=3, device="default")
    known = LABELS.astype(float)
    known[[1, 4]] = np.nan
    weights = trainer.fit(ARCHITECTURE, (INPUTS, known)).weights
    integers = np.where(np.isnan(known), -1, LABELS)
    np.testing.assert_array_equal(trainer.fit(ARCHITECTURE, (INPUTS, integers)).weights, weights)
    zero = trainer.fit(ARCHITECTURE, DATA, sample_weight=np.isfinite(known).astype(float)).weights
    np.testing.assert_allclose(weights, zero, atol=1e-9)


@pytest.mark.parametrize(
    ("network", "data", "given", "message"),
    [
        (QAE(2, 1, 1), (np.eye(4), None), {"loss": CrossEntropy()}, r"a QAE is trained by Infidelity\(\)"),
        (ARCHITECTURE, DATA, {"loss": "Infidelity"}, "must be a loss"),
        (ARCHITECTURE, (INPUTS, None), {"loss": SquaredError()}, "labels are None and there is no teacher"),
        (ARCHITECTURE, DATA, {"loss": SquaredError()}, r"labels have shape \(10,\); the network has 2 outputs"),
        (ARCHITECTURE, (INPUTS, np.full((10, 2), np.nan)), {"loss": SquaredError()}, "no sample has a label"),
    ],
)
def test_loss_and_network_fit_together(network, data, given, message):
    with pytest.raises(InvalidInputError, match=message):
        KDTrainer(device="default").fit(network, data, **given)


def test_missing_numbers_are_no_targets():
    network = QNN(2, 1, n_classes=1, embedding="angle")
    values = np.where(LABELS == 1, np.nan, INPUTS[:, 0])
    trainer = KDTrainer(iterations=3, device="default")
    some = trainer.fit(network, (INPUTS, values), loss=SquaredError())
    weighted = trainer.fit(network, (INPUTS, INPUTS[:, 0]), loss=SquaredError(), sample_weight=1.0 - LABELS)
    np.testing.assert_allclose(some.weights, weighted.weights, atol=1e-9)
    assert some.training["target_offset"] == weighted.training["target_offset"]
