"""A name that is not among those allowed is refused with the nearest of them, wherever it is asked for."""

import traceback

import numpy as np
import pytest
from sklearn.svm import SVC

import qkd_pl as kd
from qkd_pl.checks import check_choice, kind_of
from qkd_pl.datasets.image_pipeline import image_pipeline
from qkd_pl.devices.ibm.device import IBMDevice
from qkd_pl.devices.ibm.payload import Payload
from qkd_pl.devices.lightning.device import BatchedLightning
from qkd_pl.errors import QKDError
from qkd_pl.networks.manifest import from_manifest
from qkd_pl.training.callbacks import EarlyStopping
from qkd_pl.upstream.runtime import generation

FEATURES, LABELS = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([0, 1])


@pytest.mark.parametrize(
    ("ask", "near"),
    [
        (lambda: kd.QNN(2, 1, entangler="CNOT"), "cnot"),
        (lambda: kd.QNN(2, 1, topology="rings"), "ring"),
        (lambda: kd.QNN(2, 1, embedding="angel"), "angle"),
        (lambda: kd.QNNClassifier(embedding="angel").fit(FEATURES, LABELS), "angle"),
        (lambda: kd.KDTrainer(optimizer="adm").check_settings(), "adam"),
        (lambda: kd.KDTrainer(optimizer="Adam").check_settings(), "adam"),
        (lambda: kd.Distillation(scale_kl="t2"), "T2"),
        (lambda: kd.Distillation(divergence="hubber"), "huber"),
        (lambda: kd.Distillation(standardise="affin"), "affine"),
        (lambda: kd.trained(kd.QNN(1, 1), np.zeros((2, 1, 3)), task="regresion"), "regression"),
        (lambda: kd.SearchSpace(readout=["clases"]), "classes"),
        (lambda: kd.datasets.topological_phases(3, 2, 2, seed=0, targets="fields"), "field"),
        (lambda: image_pipeline("phases"), "phase"),
        (lambda: from_manifest({"type": "QNM"}), "QNN"),
        (lambda: IBMDevice(wires=1, backend="aer", preparation="exakt"), "exact"),
        (lambda: IBMDevice(wires=1, backend="aer", mitigation="ZNE"), "zne"),
        (lambda: IBMDevice(wires=1, backend="fake_manilla"), "fake_manila"),
        (lambda: BatchedLightning(wires=1, stages="allways"), "always"),
        (lambda: Payload("estimater", ()), "estimator"),
        (lambda: generation("Executer"), "executor"),
        (lambda: kd.KDTrainer(device="FAKE_MANILA").fit(kd.QNN(1, 1), (np.eye(2), LABELS)), "fake_manila"),
        (
            lambda: kd.KDTrainer(iterations=1).fit(
                kd.QNN(1, 1), (np.eye(2), None), teacher=np.eye(2), callbacks=[EarlyStopping("los")]
            ),
            "loss",
        ),
    ],
)
def test_the_nearest_name_is_suggested(ask, near):
    with pytest.raises(QKDError, match=rf"did you mean (.* or )?{near}\b"):
        ask()


@pytest.mark.parametrize("value", [np.eye(2), ["scale"], 1, 0, {}, float("nan")])
def test_what_is_no_name_is_refused_as_well(value):
    with pytest.raises(QKDError, match="setting="):
        check_choice("setting", value, (None, False, "scale"))


@pytest.mark.parametrize("value", [None, False, "scale", np.False_, np.str_("scale")])
def test_what_is_allowed_passes(value):
    check_choice("setting", value, (None, False, "scale"))


def test_public_names_are_suggested_once():
    with pytest.raises(AttributeError, match="no attribute 'QNNRegresor'") as caught:
        kd.QNNRegresor  # noqa: B018
    told = "".join(traceback.format_exception(caught.value))  # as Python prints it, with what it suggests itself
    assert told.rstrip().endswith("(did you mean QNNRegressor?)")
    assert not hasattr(kd, "moon")


@pytest.mark.parametrize(
    ("value", "told"),
    [(1, "an int"), (np.eye(2), "an ndarray"), (SVC(), "an SVC"), (kd.QNN(1, 1), "a QNN"), ([], "a list")],
)
def test_a_type_has_its_article(value, told):
    assert kind_of(value) == told
