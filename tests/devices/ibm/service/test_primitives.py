"""Results are checked before they are believed; options are the client's own."""

from types import SimpleNamespace

import numpy as np
import pytest
from example_payloads import payload, run
from qiskit.primitives import BitArray, DataBin, PrimitiveResult, PubResult
from qiskit_aer import AerSimulator

from qkd_pl.devices.ibm.service import primitives, results
from qkd_pl.devices.ibm.service.backends import open_backend
from qkd_pl.errors import InvalidInputError, JobResultError
from qkd_pl.upstream import runtime
from qkd_pl.upstream.runtime import Generation


def result_of(**data):
    return PrimitiveResult([PubResult(DataBin(**data))])


def test_exact_values_against_closed_form():
    # RY rotations add up; CNOT(0, 2) copies qubit 0's Z into qubit 2's.
    job = payload("estimator", None)
    angles = job.pubs[0].parameter_values.as_array(job.pubs[0].circuit.parameters) * np.arange(1, 13)
    first, second = np.cos(angles[:, 0::3].sum(1)), np.cos(angles[:, 2::3].sum(1))
    values = run(job)[0]
    assert values.shape == (2, 4)
    np.testing.assert_allclose(values[0], first, atol=1e-12)
    correlated = np.sin(angles[:, 2::3].sum(1))
    np.testing.assert_allclose(values[1], 0.5 * first * correlated - 2 * first * second, atol=1e-12)


def test_bits_are_in_wire_order():
    bits = run(payload("sampler", 4000, seed=1))[0]
    assert bits.shape == (4, 4000, 3)
    assert bits.dtype == np.uint8
    exact = run(payload("estimator", None))[0][0]
    np.testing.assert_allclose(1 - 2 * bits[..., 0].mean(axis=1), exact, atol=5 / np.sqrt(4000))


@pytest.mark.parametrize(
    "result",
    [
        '{"results": [{"data": ',
        None,
        PrimitiveResult([]),
        result_of(evs=np.zeros((2, 3))),
        result_of(evs=np.full((2, 4), np.nan)),
        result_of(evs=np.array([["a"] * 4] * 2)),
        result_of(other=np.zeros((2, 4))),
        PrimitiveResult([SimpleNamespace(data="cut")]),
    ],
)
def test_wrong_estimates_are_refused(result):
    with pytest.raises(JobResultError, match=r"result|PUB"):
        results.values(result, payload("estimator", 10))


@pytest.mark.parametrize(
    "result",
    [
        result_of(meas=BitArray(np.zeros((4, 9, 1), np.uint8), 3)),
        result_of(meas=BitArray(np.zeros((3, 10, 1), np.uint8), 3)),
        result_of(meas=BitArray(np.zeros((4, 10, 1), np.uint8), 2)),
        result_of(meas=np.zeros((4, 10, 3))),
        result_of(c=BitArray(np.zeros((4, 10, 1), np.uint8), 3)),
    ],
)
def test_wrong_bits_are_refused(result):
    with pytest.raises(JobResultError, match="PUB 0"):
        results.values(result, payload("sampler", 10))


@pytest.mark.parametrize(
    ("primitive", "options"),
    [("sampler", {"resilience_level": 1}), ("estimator", {"resilience_level": 3}), ("estimator", {"dynamic": True})],
)
def test_unknown_options_are_refused(primitive, options):
    with pytest.raises(InvalidInputError, match=next(iter(options))):
        primitives.check_options(primitive, options)


@pytest.mark.skipif(Generation.EXECUTOR not in runtime.installed(), reason="the client has no Executor yet")
@pytest.mark.parametrize(
    ("resilience", "named"),
    [
        ({"pec_mitigation": True}, "pec_mitigation"),
        ({"zne_mitigation": True, "zne": {"amplifier": "pea"}}, "zne.amplifier: pea"),
    ],
)
def test_mitigation_that_the_new_client_does_not_prepare_is_refused_before_anything_is_sent(resilience, named):
    with pytest.raises(InvalidInputError, match=rf"resilience\.{named}.*use primitives: v2"):
        primitives.check_options("estimator", {"resilience": resilience, "primitives": "executor"})
    primitives.check_options("estimator", {"resilience": resilience, "primitives": "v2"})


def test_simulator_says_that_mitigation_has_no_effect():
    with pytest.warns(UserWarning, match="resilience_level have no effect"):
        primitives.send(payload("estimator", 10, resilience_level=1), AerSimulator()).result()


def test_exact_values_of_a_noisy_backend_are_refused():
    with pytest.raises(InvalidInputError, match="fake_manila"):
        primitives.send(payload("estimator", None), open_backend("fake_manila", 3))


def test_batch_mode_is_for_hardware():
    with primitives.open_batch(AerSimulator(), n_jobs=2) as batch:
        assert batch is None
