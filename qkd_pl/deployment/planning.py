"""Putting a trained model on a device of the registry: the plan that :func:`qkd_pl.submit` sends."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pennylane as qml
from pennylane.tape import QuantumScript

from qkd_pl.checks import checked_labels
from qkd_pl.circuits.rows import RowsDifferError
from qkd_pl.devices.ibm.compile.plan import Plan
from qkd_pl.devices.ibm.compile.preparer import Preparation
from qkd_pl.devices.ibm.compile.recombination import Recombination
from qkd_pl.devices.ibm.compile.structure import expectations
from qkd_pl.devices.ibm.compile.tapes import prepared
from qkd_pl.devices.ibm.device import IBMDevice
from qkd_pl.devices.registry import AnyDevice, resolve_device
from qkd_pl.devices.spec import DeviceSpec
from qkd_pl.errors import DeviceConfigError, InvalidInputError
from qkd_pl.networks.checking import quantum_function
from qkd_pl.networks.models import TrainedNetwork, TrainedQNN, TrainedRegressor


def plan(
    model: TrainedQNN | TrainedRegressor,
    inputs: np.ndarray,
    device: AnyDevice,
    labels: np.ndarray | None = None,
) -> Plan:
    """Compile the evaluation of a model on some inputs, and price it; sends nothing.

    One circuit, transpiled once, serves all inputs. A mixed input is run as the weighted mixture of its eigenstates,
    which is exact in expectation; eigenvalues below 1e-12 are left out.

    Args:
        model: a classifier or regressor of any network. The job's result are its outputs.
        inputs: n samples in the form that the model takes.
        device: name in the device registry, or a spec, of a device with the plugin ``qkd.ibm``.
        labels: int (n,), of a classifier; kept with the job, so that its accuracy can be told later.

    Raises:
        InvalidInputError: the inputs do not fit the embedding, there are none, or the labels are not one class index
            for each.
        DeviceConfigError: there is no such device, or it has another plugin, or an option that cannot be written down.
        BackendError, CredentialsError: the backend cannot be opened.

    Example:
        >>> import qkd_pl as kd
        >>> network = kd.QNN(n_qubits=2, n_layers=1)
        >>> model = kd.trained(network, np.zeros(network.weights_shape))
        >>> print(plan(model, np.eye(4), device="manila").cost.shots)
        16384
    """
    if not isinstance(model, TrainedQNN | TrainedRegressor):
        raise InvalidInputError(f"model is a {type(model).__name__}; jobs evaluate a classifier or regressor")
    spec = _entry(device)
    if len(inputs) == 0:
        raise InvalidInputError("there are no inputs")
    if labels is not None:
        if not isinstance(model, TrainedQNN):
            raise InvalidInputError("labels: the model is no classifier")
        labels = checked_labels(labels, len(inputs), model.n_classes)
    batch = model.encode(inputs)
    quantum_device = _create(spec, model.network.wires)
    rows = batch.circuit_inputs[np.flatnonzero(batch.weights)]
    tapes, preparations = _tapes(model, rows, spec, quantum_device)
    jobs = quantum_device.plan(tapes)
    if len(jobs.compiled) > 1:
        raise InvalidInputError("the circuit has matrices that depend on its inputs, which are no circuit parameters")
    parts = [expectations(each, len(model.network.wires))[0] for each in tapes[0].measurements]
    if all(part.operator is None for part in parts):
        raise InvalidInputError("all observables are multiples of the identity: there is nothing to measure")
    return Plan(
        payloads=jobs.payloads,
        target=quantum_device.target(_written(spec)),
        cost=jobs.cost(),
        layouts=tuple(compiled.layout for compiled in jobs.compiled),
        recombination=Recombination.of(
            batch.weights,
            np.array([part.constant for part in parts]),
            np.array([part.operator is not None for part in parts]),
        ),
        max_qpu_seconds=spec.max_qpu_seconds,
        labels=labels,
        preparations=tuple(preparations),
    )


def _tapes(
    model: TrainedNetwork, rows: np.ndarray, spec: DeviceSpec, device: IBMDevice
) -> tuple[Sequence[QuantumScript], list[Preparation]]:
    """The model's circuit with all rows of inputs, as the device runs it, and how their states are prepared."""
    function = quantum_function(model.network, rows.shape[-1])
    try:
        tape = qml.tape.make_qscript(function)(rows, model.weights).copy(shots=spec.shots)
    except RowsDifferError as error:
        raise InvalidInputError(
            "the circuit's gates depend on its inputs; a job takes one circuit with parameters (the device runs it: "
            "model.outputs(inputs, device))"
        ) from error
    tape, preparations = prepared(tape, device.preparer)
    pipeline, _ = device.preprocess()
    tapes, _ = pipeline([tape])
    return tapes, preparations


def _written(spec: DeviceSpec) -> dict[str, Any]:
    if not spec.is_storable:
        raise DeviceConfigError(
            f"device {spec.name!r}: a job is written down with its device; options must be numbers and texts, not "
            f"{spec.to_json()['options']}"
        )
    return spec.model_dump(mode="json")


def _entry(device: AnyDevice) -> DeviceSpec:
    spec = resolve_device(device)
    if not isinstance(spec, DeviceSpec):
        raise DeviceConfigError(
            f"device is an object ({spec.name}); a job is written down with its device, so that it needs a name in "
            "devices.yaml or a DeviceSpec"
        )
    return spec


def _create(spec: DeviceSpec, wires: Sequence[Any]) -> IBMDevice:
    created = spec.create(wires)
    if not isinstance(created, IBMDevice):
        raise DeviceConfigError(f"device {spec.name!r} has plugin {spec.plugin!r}; jobs need one with qkd.ibm")
    return created
