"""What a model file's manifest must say; whatever else stands there is refused before a network is built from it.

The bounds are those of what can be stored. They keep a file of a few hundred bytes from asking for gigabytes.
"""

from typing import Annotated, Literal

from pydantic import Field, Strict, StringConstraints, model_validator

from qkd_pl.schema import Closed, Count, Number, Record, Short

#: Qubits of any network, and of one that takes state vectors, whose length is 2**n.
MOST_QUBITS, MOST_STATE_QUBITS = 1000, 24
#: A QAE measures 2·4**n_latent observables.
MOST_LATENT = 5
MOST_LAYERS, MOST_OUTPUTS, MOST_WORDS, MOST_COUPLINGS = 10_000, 1024, 4096, 10_000
FORMAT_VERSION = 2

_OF_STATES = ("state", "amplitude")
_SETTINGS = {"classification": {"logit_scale"}, "regression": {"target_scale", "target_offset"}, "compression": set()}

Qubits = Annotated[int, Field(ge=1, le=MOST_QUBITS)]
Layers = Annotated[int, Field(ge=1, le=MOST_LAYERS)]
Outputs = Annotated[int, Field(ge=1, le=MOST_OUTPUTS)]
Word = Annotated[str, StringConstraints(max_length=5000, pattern=r"^([XYZ][0-9]{1,4}( [XYZ][0-9]{1,4})*)?$")]
#: Letters and wires of a Pauli word, and its coefficient; a list in JSON.
Term = Annotated[tuple[Word, Number], Strict(strict=False)]
Sum = Annotated[list[Term], Field(min_length=1)]
Shape = Annotated[list[Count], Field(max_length=32)]
#: (control, target); that the wires exist and differ is checked with the network.
Coupling = Annotated[tuple[Count, Count], Strict(strict=False)]


class _Layered(Closed):
    n_qubits: Qubits
    n_layers: Layers
    rotations: Annotated[str, StringConstraints(pattern=r"^[XYZ]{1,100}$")]
    entangler: Literal["cz", "cnot"]
    topology: Literal["ring", "line"] | Annotated[list[Coupling], Field(max_length=MOST_COUPLINGS)]
    closing_rotations: bool


class QNNManifest(_Layered):
    """Of a :class:`~qkd_pl.networks.networks.QNN`."""

    type: Literal["QNN"]
    n_classes: Outputs
    embedding: Literal["state", "amplitude", "phase", "angle", "basis"]
    observables: Annotated[list[Sum], Field(min_length=1, max_length=MOST_OUTPUTS)] | None

    @model_validator(mode="after")
    def _check_sizes(self) -> "QNNManifest":
        if self.embedding in _OF_STATES and self.n_qubits > MOST_STATE_QUBITS:
            raise ValueError(f"n_qubits: {self.n_qubits}, at most {MOST_STATE_QUBITS} with embedding {self.embedding}")
        if (words := sum(map(len, self.observables or ()))) > MOST_WORDS:
            raise ValueError(f"observables: {words} Pauli words, at most {MOST_WORDS}")
        return self


class QAEManifest(_Layered):
    """Of a :class:`~qkd_pl.networks.networks.QAE`."""

    type: Literal["QAE"]
    n_qubits: Annotated[int, Field(ge=2, le=MOST_STATE_QUBITS)]
    n_latent: Annotated[int, Field(ge=1, le=MOST_LATENT)]


class CircuitManifest(Closed):
    """Of a circuit of the user's own, by what tells it apart."""

    type: Literal["circuit"]
    wires: Annotated[list[Short], Field(min_length=1, max_length=MOST_QUBITS)]
    weights_shape: Shape | Annotated[dict[Short, Shape], Field(min_length=1, max_length=1000)]
    n_outputs: Outputs


class EncodedManifest(Closed):
    """Of an encoder and a student in one circuit."""

    type: Literal["EncodedNetwork"]
    encoder: QAEManifest
    student: Annotated[QNNManifest | CircuitManifest, Field(discriminator="type")]


class Step(Closed):
    """Of preprocessing; the arrays are tensors."""

    name: Short
    type: Literal["PixelScaler", "PCA", "Binarizer"]
    parameters: dict[Short, bool | int | Number | Short | None]


class PlaceManifest(Closed):
    """Where a calibration is valid."""

    backend: Short
    layouts: Annotated[list[list[Annotated[int, Field(ge=0, lt=10_000)]]], Field(max_length=1000)]
    observables: Annotated[list[str], Field(max_length=MOST_OUTPUTS)]


class CalibrationManifest(Closed):
    """A device's calibration; that it has the network's number of outputs is checked with the network."""

    slope: Annotated[list[Annotated[Number, Field(gt=0)]], Field(max_length=MOST_OUTPUTS)]
    intercept: Annotated[list[Number], Field(max_length=MOST_OUTPUTS)]
    interval: Annotated[list[Number], Field(max_length=MOST_OUTPUTS)]
    residual: Annotated[list[Number], Field(max_length=MOST_OUTPUTS)]
    misfit: Annotated[list[Number], Field(max_length=MOST_OUTPUTS)]
    n_inputs: Annotated[int, Field(ge=1, lt=2**53)]
    shots: Annotated[int, Field(ge=1, lt=2**53)] | None
    place: PlaceManifest
    created: Short


class ModelManifest(Closed):
    """All of a model but its tensors."""

    format_version: Literal[2]
    network: Annotated[
        QNNManifest | QAEManifest | CircuitManifest | EncodedManifest,
        Field(discriminator="type"),
    ]
    task: Literal["classification", "regression", "compression"]
    settings: dict[Short, Number | Annotated[list[Number], Field(max_length=MOST_OUTPUTS)]]
    training: Record
    history: list[Record]
    wire_order: Annotated[list[Short], Field(max_length=MOST_QUBITS)]
    observables: Annotated[list[str], Field(max_length=2 * 4**MOST_LATENT)]
    preprocessing: Annotated[list[Step], Field(min_length=1, max_length=100)] | None
    calibration: CalibrationManifest | None = None
    versions: dict[Short, Short]

    @model_validator(mode="after")
    def _check_settings(self) -> "ModelManifest":
        if self.settings.keys() != _SETTINGS[self.task]:
            raise ValueError(f"settings: must be {', '.join(sorted(_SETTINGS[self.task])) or 'empty'} for {self.task}")
        scale = self.training.get("logit_scale", 1.0)  # teachers are asked for it
        if isinstance(scale, bool) or not isinstance(scale, int | float) or not 0 < scale < float("inf"):
            raise ValueError("training: logit_scale must be a finite number above 0")
        names = [step.name for step in self.preprocessing or ()]
        if len(set(names)) < len(names):
            raise ValueError("preprocessing: two steps have the same name")
        return self
