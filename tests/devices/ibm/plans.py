"""Plans made by hand, whose results are known in closed form."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp
from qiskit_ibm_runtime.fake_provider import FakeManilaV2

from qkd_pl.devices.ibm.compile.plan import Plan
from qkd_pl.devices.ibm.compile.recombination import Recombination
from qkd_pl.devices.ibm.compile.transpile import Compiled, Transpiler
from qkd_pl.devices.ibm.payload import Payload, estimator_pub
from qkd_pl.upstream import runtime

ANGLES = np.array([[0.1, 0.2], [1.3, -0.4], [2.0, 3.0]])
LOGITS = np.cos(ANGLES)
#: How far a job's numbers may lie from them. The loopback service runs the old Estimator exactly and the Executor's
#: programs with the 1,000 shots that the jobs ask for, twirled and divided by measured read-out factors near 1: a
#: standard deviation of at most 0.05.
TOLERANCE = 1e-9 if runtime.generation() is runtime.Generation.V2 else 0.25


@dataclass(frozen=True)
class FlatCost:
    """The part of a cost that submission looks at."""

    qpu_seconds: float = 2.0


def make_plan(remote: bool = True, parts: int = 1, **changes: object) -> Plan:
    """⟨Z⟩ on two qubits turned by RY(angles): the logits are cos(angles), exactly.

    With ``parts`` the samples are spread over that many jobs.
    """
    compiled = _compiled()
    observables = [compiled.observable(SparsePauliOp(word)) for word in ("IZ", "ZI")]
    payloads = tuple(
        Payload("estimator", (estimator_pub(compiled.circuit, observables, rows[:, list(compiled.columns)], 1000),))
        for rows in np.array_split(ANGLES, parts)
    )
    target = {
        "device": {"name": "test"},
        "backend": "ibm_manila" if remote else "fake_manila",
        "instance": None,
        "token_env": "QISKIT_IBM_TOKEN",
        "remote": remote,
    }
    plan = {
        "payloads": payloads,
        "target": target,
        "cost": FlatCost(),
        "layouts": (compiled.layout,),
        "recombination": Recombination.of(np.ones((3, 1))),
    }
    return Plan(**{**plan, **changes})  # type: ignore[arg-type]


@cache
def _compiled() -> Compiled:
    circuit = QuantumCircuit(2)
    for wire, angle in enumerate(ParameterVector("angle", 2)):
        circuit.ry(angle, wire)
    return Transpiler(FakeManilaV2(), attempts=1).compile("turn", circuit)
