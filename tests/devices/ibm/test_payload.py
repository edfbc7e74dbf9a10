"""Payloads survive their encoding; shots survive the detour through a precision."""

import math

import numpy as np
import pytest
from example_payloads import OBSERVABLES, circuit, payload, rows, run
from qiskit_aer import AerSimulator

from qkd_pl.devices.ibm.payload import Payload, estimator_pub, precision_for, shots_of
from qkd_pl.devices.ibm.service import primitives
from qkd_pl.errors import FileFormatError, InvalidInputError


def test_precision_gives_exactly_the_shots():
    for shots in [*range(1, 20_000), 10**6 - 1, 10**6, 10**6 + 1, 10**7]:
        assert math.ceil(1 / precision_for(shots) ** 2) == shots
    assert precision_for(None) == 0.0


@pytest.mark.parametrize("shots", [7, 1000, 4096])
@pytest.mark.parametrize("primitive", ["estimator", "sampler"])
def test_simulator_runs_exactly_the_shots(primitive, shots):
    job = payload(primitive, shots)
    assert job.shots == shots
    result = primitives.send(job, AerSimulator()).result()
    assert result[0].metadata["shots"] == shots


@pytest.mark.parametrize(("primitive", "shots"), [("estimator", None), ("estimator", 1000), ("sampler", 100)])
def test_decoded_payload_runs_the_same(primitive, shots):
    job = payload(primitive, shots, seed=5)
    again = Payload.decode(job.encode())
    assert (again.primitive, again.shots, again.options) == (primitive, shots, {"seed": 5})
    np.testing.assert_array_equal(run(job)[0], run(again)[0])


def test_options_survive():
    options = {"resilience_level": 1, "dynamical_decoupling": {"enable": True}, "twirling": {"enable_gates": True}}
    assert Payload.decode(payload("estimator", 10, **options).encode()).options == options


@pytest.mark.parametrize(
    "damage", [lambda text: text[:-40], lambda text: text.replace('"format": 1', '"format": 9'), lambda _: "{}"]
)
def test_damaged_payload_is_refused(damage):
    with pytest.raises(FileFormatError, match="payload"):
        Payload.decode(damage(payload("sampler", 10).encode()))


@pytest.mark.parametrize("seed", [0, -1, 2**31, 1.5])
def test_seed_that_aer_would_ignore_is_refused(seed):
    with pytest.raises(InvalidInputError, match="seed"):
        payload("estimator", 10, seed=seed)


def test_mixed_shots_and_mixed_primitives_are_refused():
    pubs = [estimator_pub(circuit(), OBSERVABLES, rows(), shots) for shots in (10, 20)]
    assert [shots_of(pub) for pub in pubs] == [10, 20]
    with pytest.raises(InvalidInputError, match="same number of shots"):
        Payload("estimator", tuple(pubs))
    with pytest.raises(InvalidInputError, match="sampler"):
        Payload("sampler", tuple(pubs[:1]))
    with pytest.raises(InvalidInputError, match="primitive"):
        Payload("executor", tuple(pubs[:1]))
