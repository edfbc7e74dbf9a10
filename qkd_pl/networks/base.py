"""What all models share: a network with its weights."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pennylane as qml
from sklearn.pipeline import Pipeline

from qkd_pl.checks import kind_of
from qkd_pl.circuits.preparations import Preparations
from qkd_pl.datasets.image_pipeline import check_pipeline
from qkd_pl.devices.registry import AnyDevice, resolve_device
from qkd_pl.errors import InvalidInputError
from qkd_pl.gradients import evaluate
from qkd_pl.networks import export
from qkd_pl.networks.checking import quantum_function
from qkd_pl.networks.files import write_model
from qkd_pl.networks.probes import probe
from qkd_pl.networks.protocol import Network
from qkd_pl.networks.weights import checked_shape, joined_weights, split_weights

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.quantum_info import SparsePauliOp

    from qkd_pl.devices.calibration import Calibration


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A network with weights; what it is for is told by its class.

    Attributes:
        network: the circuit.
        weights: radians, float64, of shape ``network.weights_shape``; one flat vector where that names several arrays.
        training: the trainer's settings, JSON-able; empty for weights that were not trained here.
        history: one JSON-able record per iteration.
        preprocessing: fitted pipeline that turns what the model is given, raw images for example, into inputs in the
            form of its network; None if it is given those.
        calibration: of a device, see :meth:`with_calibration`; None for none.

    Raises:
        InvalidInputError: the weights do not fit the network, or the network cannot be used (see
            :func:`~qkd_pl.networks.checking.check_network`).
    """

    task: ClassVar[str]

    network: Network
    weights: np.ndarray = field(repr=False)
    training: Mapping[str, Any] = field(default_factory=dict, repr=False)
    history: Sequence[Mapping[str, Any]] = field(default=(), repr=False)
    preprocessing: Pipeline | None = field(default=None, kw_only=True)
    calibration: "Calibration | None" = field(default=None, kw_only=True, repr=False)

    def __post_init__(self) -> None:
        quantum_function(self.network)
        object.__setattr__(self, "weights", joined_weights(self.weights, checked_shape(self.network.weights_shape)))

    @property
    def named_weights(self) -> Any:
        """The weights as the circuit takes them: one array, or a dictionary of named ones."""
        return split_weights(self.weights, checked_shape(self.network.weights_shape))

    def with_preprocessing(self, pipeline: Pipeline | None) -> Self:
        """The same model, which from now on takes, and is saved with, what the pipeline takes.

        Args:
            pipeline: fitted, of the steps in :mod:`qkd_pl.datasets.image_pipeline`; None to take the network's form
                again.

        Raises:
            InvalidInputError: a step is not fitted, or of a kind that a model file cannot hold.
        """
        if pipeline is not None:
            check_pipeline(pipeline)
        return replace(self, preprocessing=pipeline)

    def with_calibration(self, calibration: "Calibration | None") -> Self:
        """The same model, saved with a device's calibration, by which jobs planned from now on correct their results.

        It serves jobs (:func:`qkd_pl.submit`) on the same backend, layout and observables; on others the result stays
        as it is, with a warning. What runs here, :meth:`outputs` and all that rests on it, stays raw on every device,
        since no layout is promised there: ``calibration.apply(model.outputs(inputs, device))`` corrects it.

        Args:
            calibration: from :func:`qkd_pl.calibrate` or ``job.calibration``; None to forget it.

        Raises:
            InvalidInputError: it is something else, or was fitted to another number of outputs.
        """
        from qkd_pl.devices.calibration import Calibration  # imports scipy.stats, which takes a while

        if calibration is not None and not isinstance(calibration, Calibration):
            raise InvalidInputError(f"calibration is {kind_of(calibration)}; must be a Calibration, or None")
        if calibration is not None and len(calibration.slope) != self.network.n_outputs:
            raise InvalidInputError(
                f"calibration: has {len(calibration.slope)} outputs, the network has {self.network.n_outputs}"
            )
        return replace(self, calibration=calibration)

    def encode(self, inputs: np.ndarray) -> Preparations:
        """Preprocess inputs and turn them into preparations for the circuit.

        Raises:
            InvalidInputError: the inputs do not fit the preprocessing or the network.
        """
        if self.preprocessing is None:
            return self.network.encode(inputs)
        try:
            prepared = self.preprocessing.transform(inputs)
        except ValueError as error:
            raise InvalidInputError(f"inputs of shape {np.shape(inputs)} cannot be preprocessed: {error}") from error
        return self.network.encode(prepared)

    def outputs(self, inputs: np.ndarray, device: AnyDevice = None) -> np.ndarray:
        """The circuit's raw expectation values on a device, shape ``(n, n_outputs)`` float64.

        Args:
            inputs: n samples in the form that the model takes.
            device: a name in the device registry, a plugin, ``aer`` or ``fake_…``, a spec, or a PennyLane device; by
                default the registry's default.

        Raises:
            InvalidInputError: the inputs do not fit.
            DeviceConfigError: there is no such device.
        """
        if len(inputs) == 0:
            return np.empty((0, self.network.n_outputs))
        batch = self.encode(inputs)
        function = quantum_function(self.network, batch.rows.shape[-1])
        return evaluate(resolve_device(device).qnode(function, self.network.wires), self.weights, batch)

    def qnode(self, device: AnyDevice = None) -> qml.QNode:
        """A QNode of the model's circuit, as a function of its inputs alone: ``model.qnode("lightning")(inputs)``.

        Its inputs are rows in the form in which the circuit prepares them (``model.encode(inputs).circuit_inputs``):
        the features of a circuit of the user's own, the angles of angles and bits, normalised state vectors. Returns a
        list of expectation values, without the average over the eigenstates of mixed states.
        """
        function = quantum_function(self.network)
        return resolve_device(device).qnode(partial(function, weights=self.weights), self.network.wires)

    def to_qiskit(self, inputs: np.ndarray | None = None) -> "tuple[QuantumCircuit, list[SparsePauliOp]]":
        """The circuit for Qiskit, with its weights filled in, and the observables of the outputs. Wire i is qubit i.

        Args:
            inputs: None for a circuit with parameters ``inputs[i]``, the circuit's features (for bits, π times the
                bit); or one sample ``(1, …)``, which is filled in.

        Raises:
            InvalidInputError: the circuit prepares states, or uses features in another way than in angles that are
                linear in them, and no sample is given; or the sample is a mixed state, which has no single circuit.
        """
        if inputs is None:
            row = np.zeros(probe(self.network).batch.rows.shape[-1])
            return export.parameterised(self._of_one_row(), row, self.weights, self.network.wires)
        circuits, observables = self._bound(inputs)
        if len(circuits) != 1:
            raise InvalidInputError(f"inputs hold {len(circuits)} samples; a circuit takes one, of shape (1, …)")
        return circuits[0], observables

    def to_openqasm(self, inputs: np.ndarray) -> list[str]:
        """The circuit with weights and inputs filled in, as OpenQASM 2.0, one program per sample; nothing is measured.

        Raises:
            InvalidInputError: the inputs do not fit, or are mixed states, which have no single circuit.
        """
        from qiskit import qasm2

        circuits, _ = self._bound(inputs)
        return [qasm2.dumps(circuit) for circuit in circuits]

    def _bound(self, inputs: np.ndarray) -> "tuple[list[QuantumCircuit], list[SparsePauliOp]]":
        batch = self.encode(inputs)
        if len(batch) == 0:
            raise InvalidInputError("there are no inputs")
        if batch.rows.shape[1] > 1:
            raise InvalidInputError("inputs are mixed states, which no single circuit prepares")
        return export.bound_circuits(self._of_one_row(), batch.circuit_inputs, self.weights, self.network.wires)

    def _of_one_row(self) -> Callable:
        shape = checked_shape(self.network.weights_shape)
        return lambda row, weights: self.network.circuit(row, split_weights(weights, shape))

    def save(self, path: str | Path) -> None:
        """Write weights and manifest to one safetensors file, atomically.

        The manifest holds the network, the training settings and history, the wire order, the observables, the
        preprocessing and the versions of the packages used. A circuit of the user's own is told by its outputs for
        three made inputs; :func:`~qkd_pl.networks.models.load_model` is given it again.
        """
        write_model(self, Path(path))

    def settings(self) -> dict[str, Any]:
        """What the model has beside network, weights, training and preprocessing; JSON-able, kept in its file."""
        return {}
