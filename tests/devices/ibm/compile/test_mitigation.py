"""Mitigation by name: in the payload as the client takes it, and in the price."""

import numpy as np
import pennylane as qml
import pytest

from qkd_pl.devices.ibm.device import IBMDevice
from qkd_pl.errors import InvalidInputError
from qkd_pl.upstream.runtime import Generation, installed

V2 = pytest.mark.skipif(Generation.V2 not in installed(), reason="the newer client has no PEC")


def planned(**options):
    tape = qml.tape.QuantumScript([qml.RX(np.linspace(0, 1, 10), 0)], [qml.expval(qml.Z(0))], shots=100)
    return IBMDevice(1, "aer", **options).plan([tape])


@pytest.mark.parametrize(
    ("name", "level", "resilience", "factor"),
    [("none", 0, None, 1), ("readout", 1, None, 1), ("zne", 2, None, 3)],
)
def test_names(name, level, resilience, factor):
    jobs = planned(mitigation=name)
    options = jobs.payloads[0].options
    assert (options["resilience_level"], options.get("resilience")) == (level, resilience)
    assert jobs.cost().circuits == 10 * factor


@V2
def test_pec_is_priced_at_its_largest_overhead():
    jobs = planned(mitigation="pec", resilience={"pec": {"max_overhead": 7}}, primitives="v2")
    assert jobs.payloads[0].options["resilience"] == {"pec_mitigation": True, "pec": {"max_overhead": 7}}
    assert jobs.cost().circuits == 70


@pytest.mark.parametrize("on", [True, False])
def test_switches(on):
    options = planned(dynamical_decoupling=on, twirling=on).payloads[0].options
    assert options["dynamical_decoupling"] == {"enable": on}
    assert options["twirling"] == {"enable_gates": on, "enable_measure": on}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mitigation": "all"}, "mitigation='all': must be one of 'none', 'readout', 'zne', 'pec'"),
        ({"mitigation": "zne", "resilience_level": 1}, "say the same thing"),
    ],
)
def test_other_settings_are_refused(options, message):
    with pytest.raises(InvalidInputError, match=message):
        IBMDevice(1, "aer", **options)
