"""One step of distillation, loss and gradient, in each simulator.

All compute the same: phases of bits as input, ``L`` layers of RX, RY, RZ and a ring of entanglers, one closing block of
rotations, ⟨Z_0⟩ and ⟨Z_1⟩ as logits, and T² KL(teacher ‖ student) as loss, averaged over the batch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

TEMPERATURE = 0.5
Step = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[float, np.ndarray]]


@dataclass(frozen=True)
class Problem:
    """Size of the student.

    Attributes:
        n_qubits, n_layers: as in the paper.
        entangler: ``"cnot"``, where every gate matters, or ``"cz"``.
        precision: ``"complex128"`` or ``"complex64"``.
        workers: processes, where a simulator takes them.
    """

    n_qubits: int
    n_layers: int
    entangler: str = "cnot"
    precision: str = "complex128"
    workers: int = 1

    @property
    def ring(self) -> list[tuple[int, int]]:
        """The couplings of one layer."""
        return [(wire, (wire + 1) % self.n_qubits) for wire in range(self.n_qubits)]


def pennylane_step(problem: Problem, device: str) -> Step:
    """The step as the trainer makes it, on a PennyLane device."""
    import pennylane as qml

    from qkd_pl import QNN
    from qkd_pl.gradients import vjp
    from qkd_pl.training.losses import Distillation, Targets

    qnn = QNN(problem.n_qubits, problem.n_layers, embedding="phase", entangler=problem.entangler)
    loss = Distillation(TEMPERATURE)
    options: dict = {"c_dtype": np.dtype(problem.precision).type}
    if device == "qkd.lightning":
        options["workers"] = problem.workers
    qnode = qml.QNode(
        qnn.circuit,
        qml.device(device, wires=problem.n_qubits, **options),
        interface="autograd",
        diff_method="adjoint",
        device_vjp=True,
    )

    def step(weights: np.ndarray, bits: np.ndarray, targets: np.ndarray) -> tuple[float, np.ndarray]:
        logits, pullback = vjp(qnode, weights, qnn.encode(bits))
        value, cotangent = loss(logits, Targets(teacher=targets))
        return value, pullback(cotangent)

    return step


def distillation(logits: np.ndarray, targets: np.ndarray) -> tuple[float, np.ndarray]:
    """T² KL(teacher ‖ student), averaged over the batch, and its derivative with respect to the logits."""
    from scipy.special import log_softmax

    student, teacher = (log_softmax(values / TEMPERATURE, axis=1) for values in (logits, targets))
    value = TEMPERATURE**2 * float((np.exp(teacher) * (teacher - student)).sum(axis=1).mean())
    return value, TEMPERATURE * (np.exp(student) - np.exp(teacher)) / len(logits)


def jitted_step(problem: Problem) -> Step:
    """``default.qubit`` with JAX: a broadcast circuit, one jit of value and gradient."""
    import jax
    import pennylane as qml

    jax.config.update("jax_enable_x64", problem.precision == "complex128")

    @qml.qnode(qml.device("default.qubit"), interface="jax", diff_method="backprop")
    def logits(weights, bits):
        for wire in range(problem.n_qubits):
            qml.Hadamard(wire)
            qml.RZ(np.pi * bits[:, wire], wire)
        for block in range(problem.n_layers + 1):
            for wire in range(problem.n_qubits):
                for axis, gate in enumerate((qml.RX, qml.RY, qml.RZ)):
                    gate(weights[block, wire, axis], wire)
            for coupling in problem.ring if block < problem.n_layers else ():
                {"cnot": qml.CNOT, "cz": qml.CZ}[problem.entangler](coupling)
        return qml.expval(qml.Z(0)), qml.expval(qml.Z(1))

    def loss(weights, bits, targets):
        student = jax.nn.log_softmax(jax.numpy.stack(logits(weights, bits), axis=1) / TEMPERATURE)
        teacher = jax.nn.log_softmax(targets / TEMPERATURE)
        return TEMPERATURE**2 * (jax.numpy.exp(teacher) * (teacher - student)).sum(axis=1).mean()

    compiled = jax.jit(jax.value_and_grad(loss))

    def step(weights: np.ndarray, bits: np.ndarray, targets: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = compiled(weights, bits, targets)
        return float(value), np.asarray(gradient)

    return step


def qulacs_step(problem: Problem) -> Step:
    """Qulacs: its own adjoint gradient of a parametric circuit, sample by sample, with the logits' weighted sum."""
    from qulacs import Observable, ParametricQuantumCircuit, QuantumState

    n = problem.n_qubits
    observables = []
    for wire in range(2):
        observables.append(Observable(n))
        observables[-1].add_operator(1.0, f"Z {wire}")
    circuit = ParametricQuantumCircuit(n)
    for wire in range(n):
        circuit.add_H_gate(wire)
        circuit.add_parametric_RZ_gate(wire, 0.0)
    for block in range(problem.n_layers + 1):
        for wire in range(n):
            circuit.add_parametric_RX_gate(wire, 0.0)
            circuit.add_parametric_RY_gate(wire, 0.0)
            circuit.add_parametric_RZ_gate(wire, 0.0)
        for pair in problem.ring if block < problem.n_layers else ():
            (circuit.add_CNOT_gate if problem.entangler == "cnot" else circuit.add_CZ_gate)(*pair)
    state = QuantumState(n)

    def fill(angles: np.ndarray) -> None:
        # Its rotations are exp(+iθP/2).
        for i, angle in enumerate(angles):
            circuit.set_parameter(i, -angle)

    def step(weights: np.ndarray, bits: np.ndarray, targets: np.ndarray) -> tuple[float, np.ndarray]:
        rows = [np.concatenate([np.pi * row, weights.ravel()]) for row in bits]
        logits = np.empty((len(rows), 2))
        for i, row in enumerate(rows):
            fill(row)
            state.set_zero_state()
            circuit.update_quantum_state(state)
            logits[i] = [observable.get_expectation_value(state) for observable in observables]
        value, cotangents = distillation(logits, targets)
        gradient = np.zeros(weights.size)
        for row, cotangent in zip(rows, cotangents, strict=True):
            fill(row)
            weighted = Observable(n)
            for wire in range(2):
                weighted.add_operator(cotangent[wire], f"Z {wire}")
            gradient -= np.array(circuit.backprop(weighted))[n:]
        return value, gradient.reshape(weights.shape)

    return step


def tensorcircuit_step(problem: Problem) -> Step:
    """TensorCircuit-NG with JAX: vmap over samples, one jit of value and gradient."""
    import jax
    import tensorcircuit as tc

    tc.set_backend("jax")
    tc.set_dtype(problem.precision)

    def logits(weights, bits):
        circuit = tc.Circuit(problem.n_qubits)
        for wire in range(problem.n_qubits):
            circuit.h(wire)
            circuit.rz(wire, theta=np.pi * bits[wire])
        for block in range(problem.n_layers + 1):
            for wire in range(problem.n_qubits):
                circuit.rx(wire, theta=weights[block, wire, 0])
                circuit.ry(wire, theta=weights[block, wire, 1])
                circuit.rz(wire, theta=weights[block, wire, 2])
            for coupling in problem.ring if block < problem.n_layers else ():
                getattr(circuit, problem.entangler)(*coupling)
        return jax.numpy.stack([jax.numpy.real(circuit.expectation_ps(z=[wire])) for wire in (0, 1)])

    def loss(weights, bits, targets):
        student = jax.nn.log_softmax(jax.vmap(logits, (None, 0))(weights, bits) / TEMPERATURE)
        teacher = jax.nn.log_softmax(targets / TEMPERATURE)
        divergence = (jax.numpy.exp(teacher) * (teacher - student)).sum(axis=1)
        return TEMPERATURE**2 * divergence.mean()

    compiled = jax.jit(jax.value_and_grad(loss))

    def step(weights: np.ndarray, bits: np.ndarray, targets: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = compiled(weights, bits, targets)
        return float(value), np.asarray(gradient)

    return step


def mindquantum_step(problem: Problem) -> Step:
    """MindQuantum: its own adjoint gradient over a batch of encoder data, on two threads."""
    import mindquantum as mq
    from mindquantum.core.circuit import Circuit
    from mindquantum.core.gates import RX, RY, RZ, H, X, Z
    from mindquantum.core.operators import Hamiltonian, QubitOperator
    from mindquantum.simulator import Simulator

    entangle = {"cnot": X, "cz": Z}[problem.entangler]
    encoder, ansatz = Circuit(), Circuit()
    for wire in range(problem.n_qubits):
        encoder += H.on(wire)
        encoder += RZ(f"b{wire}").on(wire)
    for block in range(problem.n_layers + 1):
        for wire in range(problem.n_qubits):
            for axis, gate in enumerate((RX, RY, RZ)):
                ansatz += gate(f"w{block}_{wire}_{axis}").on(wire)
        for control, target in problem.ring if block < problem.n_layers else ():
            ansatz += entangle.on(target, control)
    dtype = getattr(mq, problem.precision)
    observables = [Hamiltonian(QubitOperator(f"Z{wire}")).astype(dtype) for wire in (0, 1)]
    gradient_ops = Simulator("mqvector", problem.n_qubits, dtype=dtype).get_expectation_with_grad(
        observables, encoder.as_encoder() + ansatz.as_ansatz(), parallel_worker=2
    )

    def step(weights: np.ndarray, bits: np.ndarray, targets: np.ndarray) -> tuple[float, np.ndarray]:
        logits, _, jacobian = gradient_ops(np.pi * bits, weights.ravel())
        value, cotangent = distillation(np.real(logits), targets)
        return value, np.einsum("bk,bkp->p", cotangent, np.real(jacobian)).reshape(weights.shape)

    return step


def _torch_loss(logits: Any, targets: np.ndarray) -> Any:
    """T² KL(teacher ‖ student), averaged over the batch, of PyTorch's logits."""
    import torch

    teacher = torch.log_softmax(torch.as_tensor(targets, dtype=logits.dtype) / TEMPERATURE, dim=1)
    student = torch.log_softmax(logits / TEMPERATURE, dim=1)
    return TEMPERATURE**2 * (teacher.exp() * (teacher - student)).sum(dim=1).mean()


def deepquantum_step(problem: Problem) -> Step:
    """DeepQuantum on PyTorch: bits as encoded data of a batch, weights as the circuit's own parameters."""
    import deepquantum as dq
    import torch

    circuit = dq.QubitCircuit(problem.n_qubits)
    for wire in range(problem.n_qubits):
        circuit.h(wire)
        circuit.rz(wire, encode=True)
    for block in range(problem.n_layers + 1):
        for wire in range(problem.n_qubits):
            for gate in (circuit.rx, circuit.ry, circuit.rz):
                gate(wire)
        for pair in problem.ring if block < problem.n_layers else ():
            getattr(circuit, problem.entangler)(*pair)
    for wire in range(2):
        circuit.observable(wire)
    dtype = torch.float64 if problem.precision == "complex128" else torch.float32
    circuit.to(dtype)
    parameters = list(circuit.parameters())

    def step(weights: np.ndarray, bits: np.ndarray, targets: np.ndarray) -> tuple[float, np.ndarray]:
        with torch.no_grad():
            for parameter, angle in zip(parameters, weights.ravel(), strict=True):
                parameter.fill_(angle)
        circuit(torch.as_tensor(np.pi * bits, dtype=dtype))
        loss = _torch_loss(circuit.expectation(), targets)
        gradients = torch.autograd.grad(loss, parameters)
        return loss.item(), np.array([each.item() for each in gradients]).reshape(weights.shape)

    return step


def torchquantum_step(problem: Problem) -> Step:
    """TorchQuantum on PyTorch: a batch on one device, in complex64, which is all that it has."""
    import torch
    import torchquantum as tq

    entangle = {"cnot": tq.functional.cnot, "cz": tq.functional.cz}[problem.entangler]
    rotations = (tq.functional.rx, tq.functional.ry, tq.functional.rz)
    observables = [tq.PauliZ(), tq.PauliZ()]

    def step(weights: np.ndarray, bits: np.ndarray, targets: np.ndarray) -> tuple[float, np.ndarray]:
        angles = torch.tensor(weights, dtype=torch.float32, requires_grad=True)
        phases = torch.as_tensor(np.pi * bits, dtype=torch.float32)
        device = tq.QuantumDevice(problem.n_qubits, bsz=len(bits))
        for wire in range(problem.n_qubits):
            tq.functional.hadamard(device, wires=wire)
            tq.functional.rz(device, wires=wire, params=phases[:, wire : wire + 1])
        for block in range(problem.n_layers + 1):
            for wire in range(problem.n_qubits):
                for axis, gate in enumerate(rotations):
                    gate(device, wires=wire, params=angles[block, wire, axis])
            for pair in problem.ring if block < problem.n_layers else ():
                entangle(device, wires=list(pair))
        loss = _torch_loss(tq.measurement.expval(device, [0, 1], observables), targets)
        (gradient,) = torch.autograd.grad(loss, angles)
        return loss.item(), gradient.numpy().astype(float)

    return step


CONTESTANTS: dict[str, Callable[[Problem], Step]] = {
    "qkd.lightning": lambda problem: pennylane_step(problem, "qkd.lightning"),
    "lightning.qubit": lambda problem: pennylane_step(problem, "lightning.qubit"),
    "lightning.kokkos": lambda problem: pennylane_step(problem, "lightning.kokkos"),
    "default.qubit with jax.jit": jitted_step,
    "Qulacs": qulacs_step,
    "TensorCircuit-NG": tensorcircuit_step,
    "MindQuantum": mindquantum_step,
    "DeepQuantum": deepquantum_step,
    "TorchQuantum-NG": torchquantum_step,
}
