"""``qkd.ibm``: the PennyLane device that sends all circuits of a call as one job to IBM hardware or a simulator."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from pennylane.devices import ExecutionConfig
from pennylane.devices.preprocess import decompose, validate_device_wires, validate_measurements
from pennylane.tape import QuantumScript, QuantumScriptBatch
from pennylane.transforms.core import CompilePipeline
from pennylane.typing import Result, ResultBatch
from pennylane_qiskit import RemoteDevice

from qkd_pl.errors import DeviceConfigError
from qkd_pl.ibm import preprocessing, primitives
from qkd_pl.ibm.backends import open_backend
from qkd_pl.ibm.batching import JobPlan, plan_jobs
from qkd_pl.ibm.transpile import Transpiler

_FROM_THE_QNODE = ("shots", "default_shots", "default_precision")


class IBMDevice(RemoteDevice):
    """Runs every call of PennyLane as one job: evaluating a batch of inputs, or a parameter-shift step of a batch.

    Circuits of equal structure are transpiled once and remembered. Expectation values and variances of any observable
    go through the Estimator; probs, counts and samples through the Sampler. The number of shots is that of the QNode
    (``qml.set_shots``), exactly; ``None`` is exact on the backend ``"aer"`` and refused on any other.

    ``qml.Tracker(device)`` counts ``batches`` (calls), ``jobs``, ``transpilations``, ``circuits`` (bound), ``shots``.

    Args:
        wires: number of wires, or their labels.
        backend: ``"aer"``, ``"fake_…"``, ``"least_busy"``, the name of an IBM backend (see
            :func:`qkd_pl.ibm.backends.open_backend`), or a Qiskit backend.
        seed: of the simulator's noise; each job draws its own seed from it, so that a new device repeats the whole
            sequence. Hardware ignores it.
        token_env: environment variable with the IBM Quantum API key; ``None`` for the saved Qiskit account.
        instance: IBM Cloud instance; ``None`` for the account's own choice.
        optimization_level: of Qiskit's transpiler, 0 to 3.
        transpile_attempts: seeds that the transpiler tries for each structure; the best circuit is kept.
        **options: settings of the primitives, in the form of qiskit-ibm-runtime's ``EstimatorOptions``:
            ``resilience_level``, ``resilience``, ``dynamical_decoupling``, ``twirling``, ``max_execution_time``, ….
            The Sampler refuses those it does not have, such as ``resilience_level``. Simulators ignore them.

    Raises:
        InvalidInputError: the primitives do not know an option, or a circuit or measurement cannot be run.
        BackendError, CredentialsError: the backend cannot be opened.
    """

    short_name = "qkd.ibm"

    def __init__(
        self,
        wires: int | Iterable[Any],
        backend: Any = "aer",
        *,
        seed: int | None = None,
        token_env: str | None = None,
        instance: str | None = None,
        optimization_level: int = 3,
        transpile_attempts: int = 8,
        **options: Any,
    ) -> None:
        if misplaced := sorted(set(options) & set(_FROM_THE_QNODE)):
            raise DeviceConfigError(f"{', '.join(misplaced)}: shots belong to the QNode, use qml.set_shots")
        primitives.check_options("estimator", options)
        if isinstance(backend, str):
            n_wires = wires if isinstance(wires, int) else len(list(wires))
            backend = open_backend(backend, n_wires, token_env, instance)
        super().__init__(wires, backend=backend)
        self.options = options
        self.seed = seed
        self.transpiler = Transpiler(backend, optimization_level, transpile_attempts)
        self._seeds = None if seed is None else _job_seeds(seed)

    @property
    def name(self) -> str:
        """Name under which the device is registered."""
        return self.short_name

    @property
    def is_exact(self) -> bool:
        """Whether the backend can give exact values, for ``shots=None``."""
        return primitives.is_simulator(self.backend) and self.backend.options.noise_model is None

    def preprocess(self, execution_config: ExecutionConfig | None = None) -> tuple[CompilePipeline, ExecutionConfig]:
        """Transforms that make tapes ready for :meth:`plan`; batches of inputs stay batches."""
        _, config = super().preprocess(execution_config)
        pipeline = CompilePipeline()
        pipeline.add_transform(validate_device_wires, self.wires, name=self.name)
        pipeline.add_transform(
            validate_measurements,
            analytic_measurements=preprocessing.is_estimated,
            sample_measurements=preprocessing.is_supported,
            name=self.name,
        )
        pipeline.add_transform(preprocessing.check_shots, self.is_exact, self.backend.name)
        pipeline.add_transform(preprocessing.standard_wires, self.wires)
        pipeline.add_transform(preprocessing.one_primitive)
        pipeline.add_transform(
            decompose,
            target_gates=set(preprocessing.GATES),
            stopping_condition=preprocessing.is_gate_or_state,
            skip_initial_state_prep=True,
            name=self.name,
        )
        pipeline.add_transform(preprocessing.fixed_state_preparation)
        pipeline.add_transform(preprocessing.expand_matrices)
        return pipeline, config

    def plan(self, tapes: Sequence[QuantumScript]) -> JobPlan:
        """Jobs for ``tapes`` that went through :meth:`preprocess`; transpiles new structures, sends nothing."""
        return plan_jobs(tapes, len(self.wires), self.transpiler, self.options, self._seeds)

    def execute(
        self, circuits: QuantumScript | QuantumScriptBatch, execution_config: ExecutionConfig | None = None
    ) -> Result | ResultBatch:
        """Run ``circuits`` as the fewest jobs and wait for them."""
        tapes = [circuits] if isinstance(circuits, QuantumScript) else list(circuits)
        transpiled = self.transpiler.count
        plan = self.plan(tapes)
        with primitives.open_batch(self.backend, len(plan.payloads)) as batch:
            jobs = [primitives.send(payload, self.backend, batch=batch) for payload in plan.payloads]
        values = [primitives.values(job.result(), each) for job, each in zip(jobs, plan.payloads, strict=True)]
        results = plan.results(values)
        self._track(plan, self.transpiler.count - transpiled)
        return results[0] if isinstance(circuits, QuantumScript) else results

    def _track(self, plan: JobPlan, transpilations: int) -> None:
        if not self.tracker.active:
            return
        cost = plan.cost(self.backend)
        counts = {"jobs": cost.jobs, "circuits": cost.circuits, "shots": cost.shots}
        self.tracker.update(batches=1, transpilations=transpilations, **counts)
        self.tracker.record()


def _job_seeds(seed: int) -> Iterator[int]:
    """Seeds in 1..2³¹−1, one for each job; Aer reads 0 as "no seed"."""
    generator = np.random.default_rng(seed)
    while True:
        yield int(generator.integers(1, 2**31))
