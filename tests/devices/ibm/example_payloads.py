"""Small jobs that the tests of this directory run."""

import numpy as np
from qiskit import ClassicalRegister, QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer import AerSimulator

from qkd_pl.devices.ibm.payload import Payload, estimator_pub, sampler_pub
from qkd_pl.devices.ibm.service import primitives, results

OBSERVABLES = [SparsePauliOp("IIZ"), SparsePauliOp(["XIZ", "ZII"], [0.5, -2.0])]


def circuit(measured=False):
    """Twelve parameters, so that sorting them by name would put the tenth before the second."""
    result = QuantumCircuit(3)
    for index, parameter in enumerate(ParameterVector("angle", 12)):
        result.ry(parameter * (index + 1), index % 3)
    result.cx(0, 2)
    if measured:
        register = ClassicalRegister(3, "meas")
        result.add_register(register)
        result.measure(range(3), register)
    return result


def rows(n=4):
    return np.random.default_rng(0).uniform(size=(n, 12))


def payload(primitive, shots, **options):
    if primitive == "estimator":
        return Payload(primitive, (estimator_pub(circuit(), OBSERVABLES, rows(), shots),), options)
    return Payload(primitive, (sampler_pub(circuit(measured=True), rows(), shots),), options)


def run(job):
    return results.values(primitives.send(job, AerSimulator()).result(), job)
