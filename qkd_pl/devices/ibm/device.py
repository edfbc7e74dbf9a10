"""``qkd.ibm``: the PennyLane device that sends all circuits of a call as one job to IBM hardware or a simulator."""

import math
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from pennylane.devices import ExecutionConfig
from pennylane.devices.preprocess import decompose, validate_device_wires, validate_measurements
from pennylane.tape import QuantumScript, QuantumScriptBatch
from pennylane.transforms.core import CompilePipeline
from pennylane.typing import Result, ResultBatch

from qkd_pl.checks import check_count, check_number, plain
from qkd_pl.devices import causal_cone as cone
from qkd_pl.devices.ibm.access import Access
from qkd_pl.devices.ibm.compile import tapes as preprocessing
from qkd_pl.devices.ibm.compile.batching import GroupedTapes, group_tapes
from qkd_pl.devices.ibm.compile.mitigation import mitigation_options, switched
from qkd_pl.devices.ibm.compile.plan import Plan
from qkd_pl.devices.ibm.compile.preparer import Method, StatePreparer
from qkd_pl.devices.ibm.compile.transpile import Transpiler
from qkd_pl.devices.ibm.jobs import blocking
from qkd_pl.devices.ibm.jobs.connection import Connection
from qkd_pl.devices.ibm.sending import Sending
from qkd_pl.devices.ibm.service import primitives as client
from qkd_pl.devices.ibm.service import results
from qkd_pl.devices.ibm.service.backends import open_backend
from qkd_pl.errors import InvalidInputError, LowFidelityWarning
from qkd_pl.upstream import runtime
from qkd_pl.upstream.plugin import SessionlessDevice
from qkd_pl.warning import warn


class IBMDevice(SessionlessDevice):
    """Runs every call of PennyLane as one job: evaluating a batch of inputs, or a parameter-shift step of a batch.

    Circuits of equal structure are transpiled once and remembered. Expectation values and variances of any observable
    go through the Estimator; probs, counts and samples through the Sampler. The number of shots is that of the QNode
    (``qml.set_shots``), exactly; ``None`` is exact on the backend ``"aer"`` and refused on any other.

    ``qml.Tracker(device)`` counts ``batches`` (calls), ``jobs``, ``transpilations``, ``circuits`` (bound), ``shots``.

    Args:
        wires: number of wires, or their labels.
        backend: ``"aer"``, ``"fake_…"``, ``"least_busy"``, the name of an IBM backend (see
            :func:`qkd_pl.devices.ibm.service.backends.open_backend`), or a Qiskit backend: IBM's, a Qiskit Aer
            simulator, or any other with a target, such as ``FakeTorino()``, whose noise is simulated here.
        seed: of the simulator's noise, a number or a generator; each job draws its own seed from it, so that a new
            device with the same number repeats the whole sequence. Hardware ignores it.
        token_env: environment variable with the IBM Quantum API key; ``None`` for a saved Qiskit account.
        account: name of a saved Qiskit account, instead of a key; ``None`` for the default one.
        instance: IBM Cloud instance; ``None`` for the account's own choice.
        url: address of IBM Cloud, for the key in ``token_env``, where it is not ``https://cloud.ibm.com``.
        proxies: ``{"urls": {"https": "http://proxy.example.org:3128"}}``, with ``username`` and ``password_env``, the
            environment variable of the password, where the proxy asks for them. The environment's ``HTTPS_PROXY`` goes
            first.
        least_busy: which machines ``backend="least_busy"`` chooses from: ``min_num_qubits``, ``among`` (names),
            ``processor`` (a family, such as ``"Heron"``).
        use_fractional_gates: whether to compile for RX and RZZ of any angle, where the machine has them; simulated
            devices have the gates of their snapshot.
        job_tags: further tags of every job, by which others may find it; each of 1 to 80 visible characters.
        execution_mode: ``"job"``, or ``"batch"``: the jobs that one device sends, such as those of a training, are in
            one batch, so that they wait in the queue once. Several jobs of one call always are.
        optimization_level: of Qiskit's transpiler, 0 to 3.
        transpile_attempts: seeds that the transpiler tries for each structure; the circuit of the highest estimated
            fidelity is kept.
        initial_layout: physical qubits of the wires, in order, instead of those that the transpiler would choose.
        excluded_qubits: physical qubits that no circuit may use.
        warn_below_fidelity: circuits whose estimated fidelity, gates and read-out, is lower are run with a warning; 0
            for none.
        preparation: of states: ``"exact"`` (2^n − 2 CNOTs for real ones); ``"staircase"`` (few CNOTs and close; see
            :mod:`qkd_pl.devices.ibm.compile.staircase`); or ``"auto"``: the shortest staircase of at least
            ``preparation_fidelity``, or exact where that is no longer, and on a backend without noise.
        preparation_layers: of ``"staircase"``; None for 2.
        preparation_fidelity: what ``"auto"`` asks of every state, without noise.
        causal_cone: whether to drop the gates that no measured observable depends on, those of the preparation
            included; exact.
        mitigation: error mitigation by name, instead of ``resilience_level``: ``"none"``, ``"readout"``, ``"zne"``
            (zero-noise extrapolation) or ``"pec"`` (probabilistic error cancellation); what each repeats is part of the
            price. Simulators ignore it, so that its effect shows on hardware only.
        resilience_level: error mitigation of expectation values, 0 to 2; ``None`` for the service's default, 1. The
            Sampler has none, so that probs, counts and samples are refused together with it.
        resilience: advanced settings of the mitigation.
        dynamical_decoupling: True, False, or for example ``{"enable": True, "sequence_type": "XY4"}``.
        twirling: True (gates and measurements), False, or for example ``{"enable_gates": True}``.
        execution: for example ``{"rep_delay": 0.0002}``.
        max_execution_time: QPU seconds after which the service stops a job; ``None`` for ``max_qpu_seconds``, so that
            what was estimated too low cannot cost more than was allowed.
        max_qpu_seconds: calls with a higher estimate are refused before anything is sent to hardware; ``None`` for no
            limit.
        max_qpu_seconds_total: a budget of the instance: calls are refused before anything is sent if, with everything
            that the ledger knows of the last 28 days (as used, where the service has told it, else as estimated), they
            would exceed it; ``None`` for none. Several processes may share it, several ledgers do not.
        primitives: generation of qiskit-ibm-runtime's primitives, ``"v2"`` (``EstimatorV2``, ``SamplerV2``) or
            ``"executor"`` (client 0.50 and later); ``None`` for the newer one that is installed.

    Those from ``resilience_level`` to ``max_execution_time`` are qiskit-ibm-runtime's own settings
    (``EstimatorOptions``, ``SamplerOptions``), passed on as they are, and part of every payload. Simulators ignore
    them, with a warning.

    On hardware every job has a receipt in the ledger, so that it can be attached to if this process dies. Run
    again, the same QNode takes up the job that was left (:func:`qkd_pl.devices.ibm.jobs.blocking.run`).

    Raises:
        InvalidInputError: the primitives refuse a setting, or a circuit or measurement cannot be run.
        BackendError, CredentialsError: the backend cannot be opened.
    """

    short_name = "qkd.ibm"

    def __init__(
        self,
        wires: int | Iterable[Any],
        backend: Any = "aer",
        *,
        seed: int | np.random.Generator | None = None,
        token_env: str | None = None,
        account: str | None = None,
        instance: str | None = None,
        url: str | None = None,
        proxies: Mapping[str, Any] | None = None,
        least_busy: Mapping[str, Any] | None = None,
        use_fractional_gates: bool = False,
        job_tags: Sequence[str] = (),
        execution_mode: str = "job",
        optimization_level: int = 3,
        transpile_attempts: int = 8,
        initial_layout: Sequence[int] | None = None,
        excluded_qubits: Sequence[int] = (),
        warn_below_fidelity: float = 0.5,
        preparation: Method = "auto",
        preparation_layers: int | None = None,
        preparation_fidelity: float = 0.99,
        causal_cone: bool = True,
        mitigation: str | None = None,
        resilience_level: int | None = None,
        resilience: Mapping[str, Any] | None = None,
        dynamical_decoupling: Mapping[str, Any] | bool | None = None,
        twirling: Mapping[str, Any] | bool | None = None,
        execution: Mapping[str, Any] | None = None,
        max_execution_time: int | None = None,
        max_qpu_seconds: float | None = None,
        max_qpu_seconds_total: float | None = None,
        primitives: str | None = None,
    ) -> None:
        way = {"token_env": token_env, "account": account, "instance": instance, "url": url, "proxies": proxies}
        self._access = Access.of(way)
        level, advanced = mitigation_options(mitigation, resilience_level, resilience)
        settings = {
            "resilience_level": level,
            "resilience": advanced,
            "dynamical_decoupling": switched("dynamical_decoupling", dynamical_decoupling),
            "twirling": switched("twirling", twirling),
            "execution": execution,
            "max_execution_time": max_execution_time,
        }
        options: dict[str, Any] = {key: plain(value) for key, value in settings.items() if value is not None}
        options["primitives"] = str(runtime.generation(primitives))
        client.check_options("estimator", options)
        check_count("transpile_attempts", transpile_attempts)
        check_number("warn_below_fidelity", warn_below_fidelity, 0, 1)
        if max_qpu_seconds is not None:
            check_number("max_qpu_seconds", max_qpu_seconds, 0, above=True)
        if max_qpu_seconds_total is not None:
            check_number("max_qpu_seconds_total", max_qpu_seconds_total, 0, above=True)
        if max_execution_time is not None:
            check_count("max_execution_time", max_execution_time)
        if optimization_level not in range(4):
            raise InvalidInputError(f"optimization_level={optimization_level!r}: must be 0, 1, 2 or 3")
        wires = range(int(wires)) if isinstance(wires, int | Integral) else list(wires)
        self._backend_name = backend if isinstance(backend, str) else getattr(backend, "name", "")
        tags = job_tags if isinstance(job_tags, str) else list(job_tags)  # a text is refused, not taken apart
        sending = {"backend": backend, "least_busy": least_busy, "use_fractional_gates": use_fractional_gates}
        self._sending = Sending.of(sending | {"job_tags": tags, "execution_mode": execution_mode})
        backend = open_backend(backend, len(wires), self._access, self._sending)
        if not client.is_simulator(backend) and _is_unbounded(advanced or {}):
            raise InvalidInputError("resilience.pec.max_overhead: null has no bound, so that nothing can be priced")
        if not client.is_simulator(backend) and max_qpu_seconds is not None:
            options.setdefault("max_execution_time", math.ceil(max_qpu_seconds))
        super().__init__(wires, backend=backend)
        self._connection: Connection | None = None
        if self._sending.execution_mode == "batch":
            self._connection = Connection(one_batch=True)
            weakref.finalize(self, self._connection.close)
        self.options = options
        self.max_qpu_seconds = max_qpu_seconds
        self._budget = None if max_qpu_seconds_total is None else float(max_qpu_seconds_total)
        layout = None if initial_layout is None else plain(list(initial_layout))
        excluded = plain(list(excluded_qubits))
        self.transpiler = Transpiler(backend, optimization_level, transpile_attempts, layout, excluded)
        if preparation == "auto" and self.is_exact:
            preparation = "exact"
        self.preparer = StatePreparer(preparation, preparation_layers, preparation_fidelity)
        self._causal_cone = causal_cone
        self._warn_below = warn_below_fidelity
        self._seeds = None if seed is None else _job_seeds(seed)

    @property
    def name(self) -> str:
        """Name under which the device is registered."""
        return self.short_name

    @property
    def is_exact(self) -> bool:
        """Whether the backend can give exact values, for ``shots=None``."""
        return client.is_simulator(self.backend) and self.backend.options.noise_model is None

    def preprocess(self, execution_config: ExecutionConfig | None = None) -> tuple[CompilePipeline, ExecutionConfig]:
        """Transforms that make tapes ready for :meth:`plan`; batches of inputs stay batches."""
        _, config = super().preprocess(execution_config)
        pipeline = CompilePipeline()
        pipeline.add_transform(preprocessing.deferred_measurements)
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
        pipeline.add_transform(preprocessing.fixed_state_preparation, self.preparer)
        if self._causal_cone:
            pipeline.add_transform(cone.causal_cone)
        pipeline.add_transform(preprocessing.expand_matrices)
        return pipeline, config

    def plan(self, tapes: Sequence[QuantumScript]) -> GroupedTapes:
        """Jobs for ``tapes`` that went through :meth:`preprocess`; transpiles new structures, sends nothing."""
        return group_tapes(tapes, len(self.wires), self.transpiler, self.options, self._seeds)

    def execute(
        self, circuits: QuantumScript | QuantumScriptBatch, execution_config: ExecutionConfig | None = None
    ) -> Result | ResultBatch:
        """Run ``circuits`` as the fewest jobs and wait for them."""
        tapes = [circuits] if isinstance(circuits, QuantumScript) else list(circuits)
        transpiled = self.transpiler.count
        plan = self.plan(tapes)
        self.warn_of_noise(plan)
        results = plan.results(self._values(plan))
        self._track(plan, self.transpiler.count - transpiled)
        return results[0] if isinstance(circuits, QuantumScript) else results

    def target(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Where jobs go, JSON-able, as a receipt keeps it.

        Args:
            entry: of the device registry; with at least its ``name``.
        """
        hardware = not client.is_simulator(self.backend)
        return {
            "device": dict(entry),
            "backend": self.backend.name if hardware else self._backend_name,
            # The instance that pays, also when the account chose it.
            "instance": self.backend.service.active_instance() if hardware else None,
            "token_env": self._access.token_env,
            "remote": hardware,
            "max_qpu_seconds_total": self._budget if hardware else None,
            **(self._way() if hardware else {}),
        }

    def _way(self) -> dict[str, Any]:
        """What else whoever sends the job has to know, where it is not the default."""
        # A backend that was given as an object has been opened with or without them.
        fractional = bool(getattr(self.backend.options, "use_fractional_gates", False))
        return {
            **self._access.model_dump(include={"account", "url", "proxies"}, exclude_none=True),
            **self._sending.model_dump(include={"job_tags"}, exclude_defaults=True),
            **({"use_fractional_gates": True} if fractional else {}),
        }

    def warn_of_noise(self, plan: GroupedTapes) -> None:
        """Warn of jobs that are going to be sent, if a circuit is likely to err."""
        worst = min((compiled.estimated_fidelity for compiled in plan.compiled), default=1.0)
        if worst < self._warn_below:
            warn(
                f"backend {self._backend_name!r}: a circuit has an estimated fidelity of {worst:.3f}, below "
                f"warn_below_fidelity: {self._warn_below:g}; a smaller circuit or another backend keeps more signal",
                LowFidelityWarning,
            )

    def _values(self, plan: GroupedTapes) -> list[list[np.ndarray]]:
        """Run all jobs and wait: in this process on a simulator, through the ledger on hardware."""
        if client.is_simulator(self.backend):
            return [results.values(client.send(each, self.backend).result(), each) for each in plan.payloads]
        layouts = tuple(compiled.layout for compiled in plan.compiled)
        target = self.target({"name": self.name})
        ready = Plan(plan.payloads, target, plan.cost(), layouts, max_qpu_seconds=self.max_qpu_seconds)
        return blocking.run(ready, connection=self._connection)

    def _track(self, plan: GroupedTapes, transpilations: int) -> None:
        if not self.tracker.active:
            return
        cost = plan.cost()
        counts = {"jobs": cost.jobs, "circuits": cost.circuits, "shots": cost.shots}
        self.tracker.update(batches=1, transpilations=transpilations, **counts)
        self.tracker.record()


def _is_unbounded(resilience: Mapping[str, Any]) -> bool:
    """Whether error mitigation may repeat circuits without a limit."""
    return bool(resilience.get("pec_mitigation")) and resilience.get("pec", {}).get("max_overhead", 0) is None


def _job_seeds(seed: int | np.random.Generator) -> Iterator[int]:
    """Seeds in 1..2³¹−1, one for each job; Aer reads 0 as "no seed"."""
    generator = np.random.default_rng(seed)
    while True:
        yield int(generator.integers(1, 2**31))
