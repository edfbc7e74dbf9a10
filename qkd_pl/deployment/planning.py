"""Putting a trained model on a device of the registry: the plan that :func:`qkd_pl.submit` sends."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
import pennylane as qml
from pennylane.tape import QuantumScript

from qkd_pl.checks import any_array, checked_labels, cut, kind_of
from qkd_pl.circuits.rows import RowsDifferError
from qkd_pl.devices.calibration import FEWEST_INPUTS, spread_out
from qkd_pl.devices.ibm.compile.absorption import Absorption, absorbed, predicted_error
from qkd_pl.devices.ibm.compile.batching import GroupedTapes
from qkd_pl.devices.ibm.compile.plan import Plan
from qkd_pl.devices.ibm.compile.preparer import Preparation
from qkd_pl.devices.ibm.compile.recombination import Recombination
from qkd_pl.devices.ibm.compile.reference import Reference
from qkd_pl.devices.ibm.compile.structure import Expectation, expectations
from qkd_pl.devices.ibm.compile.tapes import prepared
from qkd_pl.devices.ibm.device import IBMDevice
from qkd_pl.devices.registry import AnyDevice, resolve_device
from qkd_pl.devices.spec import EXACT, DeviceSpec
from qkd_pl.errors import CalibrationError, DeviceConfigError, InvalidInputError
from qkd_pl.networks.checking import quantum_function
from qkd_pl.networks.models import TrainedNetwork, TrainedQNN, TrainedRegressor

# Inputs by which a job calibrates itself unless told otherwise; inputs that tell how large outputs are.
_CALIBRATION_INPUTS, _LOOKED_AT = 50, 50


def plan(
    model: TrainedQNN | TrainedRegressor,
    inputs: np.ndarray,
    device: AnyDevice,
    labels: np.ndarray | None = None,
    *,
    calibrate: bool | int | np.ndarray = False,
    absorb: bool | None = None,
) -> Plan:
    """Compile the evaluation of a model on some inputs, and price it; sends nothing.

    One circuit, transpiled once, serves all inputs. A mixed input is run as the weighted mixture of its eigenstates,
    which is exact in expectation; eigenvalues below 1e-12 are left out.

    Args:
        model: a classifier or regressor of any network. The job's result are its outputs.
        inputs: n samples in the form that the model takes.
        device: ``aer`` or ``fake_…``, or a name in the device registry, or a spec, of a device with the plugin
            ``qkd.ibm``.
        labels: int (n,), of a classifier; kept with the job, so that its accuracy can be told later.
        calibrate: correct the result for the noise of the device, by inputs whose exact outputs are computed here
            (:mod:`qkd_pl.devices.calibration`). True for 50 of ``inputs``, or all if there are fewer, at no cost; a
            number for that many of them; or an array of other inputs, run in the same job besides.
            ``job.calibration`` has what was found, ``job.result(calibrated=False)`` the raw outputs.
        absorb: whether to move the last entanglers of the circuit into the observables, at equal QPU time
            (:mod:`qkd_pl.devices.ibm.compile.absorption`); exact. None for whatever is predicted to have the smaller
            error; the plan tells.

    Raises:
        InvalidInputError: the inputs do not fit the embedding, there are none, or fewer than ``calibrate`` says, or the
            labels are not one class index for each.
        CalibrationError: fewer than 5 inputs would serve calibration.
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
        raise InvalidInputError(f"model is {kind_of(model)}; jobs evaluate a classifier or regressor")
    spec = _entry(device)
    if len(inputs) == 0:
        raise InvalidInputError("there are no inputs")
    labels = None if labels is None else _labels(model, labels, len(inputs))
    extra, reference = _reference(model, inputs, calibrate)
    batch = model.encode(inputs if extra is None else np.concatenate([inputs, extra]))
    quantum_device = _create(spec, model.network.wires)
    rows = batch.circuit_inputs[np.flatnonzero(batch.weights)]
    tapes, preparations = _tapes(model, rows, spec, quantum_device)
    parts = _measured(tapes[0], len(model.network.wires))
    calibrated = reference is not None or model.calibration is not None
    jobs, absorption = _best_jobs(quantum_device, tapes, model, inputs, calibrated, absorb)
    quantum_device.warn_of_noise(jobs)
    if len(jobs.compiled) > 1:
        raise InvalidInputError("the circuit has matrices that depend on its inputs; a matrix cannot be a parameter")
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
        observables=observable_names(model, inputs),
        reference=reference,
        absorption=absorption,
        calibration=model.calibration,
    )


def _best_jobs(
    device: IBMDevice,
    tapes: Sequence[QuantumScript],
    model: TrainedNetwork,
    inputs: np.ndarray,
    calibrated: bool,
    absorb: bool | None,
) -> tuple[GroupedTapes, Absorption | None]:
    """Jobs that run the last entanglers, or jobs without them; and what was expected of either."""
    direct = device.plan(tapes) if absorb is not True else None
    if absorb is False or (absorb is None and device.is_exact):
        return direct or device.plan(tapes), None
    short = [absorbed(tape) for tape in tapes]
    if any(tape is None for tape in short):
        return direct or device.plan(tapes), None
    direct = direct or device.plan(tapes)
    moved = device.plan(_at_equal_cost([tape for tape in short if tape is not None], direct, device))
    mean_square = float(np.mean(model.outputs(inputs[:_LOOKED_AT], EXACT) ** 2))
    target = device.transpiler.target
    errors = [predicted_error(jobs, target, mean_square, calibrated) for jobs in (direct, moved)]
    chosen = errors[1] < errors[0] if absorb is None else absorb
    return (moved if chosen else direct), Absorption(chosen, *errors)


def _at_equal_cost(tapes: Sequence[QuantumScript], direct: GroupedTapes, device: IBMDevice) -> Sequence[QuantumScript]:
    """``tapes``, with the number of shots at which they take no more executions than ``direct``."""
    circuits = device.plan(tapes).cost().circuits
    shots = tapes[0].shots.total_shots
    if shots is None:
        return tapes
    fewer = max(1, shots * direct.cost().circuits // max(1, circuits))
    return [tape.copy(shots=fewer) for tape in tapes]


def observable_names(model: TrainedNetwork, inputs: np.ndarray) -> tuple[str, ...]:
    """Names of what a model's circuit measures, in the order of its outputs."""
    rows = model.encode(inputs[:1]).circuit_inputs[:1]
    tape = qml.tape.make_qscript(quantum_function(model.network, rows.shape[-1]))(rows, model.weights)
    return tuple(str(measurement.obs) for measurement in tape.measurements)


def _labels(model: Any, labels: np.ndarray, count: int) -> np.ndarray:
    if not isinstance(model, TrainedQNN):
        raise InvalidInputError("labels: only a classifier's job takes labels, and the model is not a classifier")
    return checked_labels(labels, count, model.n_classes)


def _measured(tape: QuantumScript, n_wires: int) -> list[Expectation]:
    """What the job measures for each output, and the constant that is added to it."""
    parts = [expectations(each, n_wires)[0] for each in tape.measurements]
    if all(part.operator is None for part in parts):
        raise InvalidInputError("all observables are multiples of the identity: there is nothing to measure")
    return parts


def _reference(
    model: TrainedNetwork, inputs: np.ndarray, calibrate: bool | int | np.ndarray
) -> tuple[np.ndarray | None, Reference | None]:
    """Inputs that serve calibration only, and the exact outputs of those that serve it."""
    if calibrate is False:
        return None, None
    if isinstance(calibrate, bool | Integral):
        count = min(_CALIBRATION_INPUTS, len(inputs)) if calibrate is True else int(calibrate)
        _check_enough(calibrate, count)
        if count > len(inputs):
            raise InvalidInputError(f"calibrate={count}: must be at most {len(inputs)}, the number of inputs")
        exact = model.outputs(inputs, EXACT)
        sample = spread_out(exact, count)
        return None, Reference(sample, exact[sample])
    extra = any_array("calibrate", calibrate)
    if extra.ndim == 0:
        raise InvalidInputError(
            f"calibrate={cut(calibrate)}: must be True, False, a number of the inputs, or further inputs (m, …)"
        )
    _check_enough(calibrate, len(extra))
    exact = model.outputs(extra, EXACT)
    return extra, Reference(np.arange(len(exact)) + len(inputs), exact, len(exact))


def _check_enough(calibrate: Any, count: int) -> None:
    """Refuse what would be found useless when the job has run and was paid for."""
    if count < FEWEST_INPUTS:
        given = cut(calibrate) if isinstance(calibrate, bool | Integral) else "…"
        raise CalibrationError(
            f"calibrate={given}: a calibration needs at least {FEWEST_INPUTS} inputs, not {count}; "
            "calibrate=False plans without one of the job's own"
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
