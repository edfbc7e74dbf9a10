"""One trainer for teachers, students and autoencoders."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import pennylane as qml

from qkd_pl.checks import check_count, check_number
from qkd_pl.devices.registry import AnyDevice, resolve_device
from qkd_pl.errors import InvalidInputError, TrainingDivergedError
from qkd_pl.gradients import vjp
from qkd_pl.networks.manifest import fingerprint
from qkd_pl.networks.models import Model, TrainedQAE, TrainedQNN
from qkd_pl.networks.networks import QAE, QNN
from qkd_pl.networks.protocol import Network
from qkd_pl.storage import checksum
from qkd_pl.training.callbacks.base import Callback, check_callbacks, watching
from qkd_pl.training.checkpoint import checkpoint_path, restore_checkpoint, save_checkpoint
from qkd_pl.training.initial import default_initial, describe_initial, initial_weights
from qkd_pl.training.losses.base import probability_scale
from qkd_pl.training.losses.description import describe_loss
from qkd_pl.training.losses.targets import Targets
from qkd_pl.training.optimizers import make_optimizer
from qkd_pl.training.problem import Problem, pose
from qkd_pl.training.records import storable
from qkd_pl.training.run import Run
from qkd_pl.training.schedules import DEFAULT_RATE, Schedule, check_schedule, describe_schedule, value_at
from qkd_pl.training.validation import Validation

_STREAMS = ("weights", "batches", "device", "validation")


@dataclass(frozen=True, kw_only=True)
class KDTrainer:
    """How to optimise; a loss says what. Trains a network on random batches, with or without a teacher.

    Attributes:
        iterations: number of updates.
        batch_size: samples per update, drawn without replacement within a batch.
        optimizer: ``"adam"``, ``"gradient-descent"``, ``"momentum"``, ``"adagrad"`` or ``"rmsprop"``, PennyLane's, with
            its settings.
        learning_rate: the optimizer's step size: a number, or a schedule. By default 0.3, times 0.9 every 10
            iterations.
        weight_decay: L2 coefficient; ``weight_decay · weights`` is added to the gradient.
        device: a name in the device registry, a plugin, ``aer`` or ``fake_…``, a spec, or a PennyLane device; None for
            the registry's default.
        seed: of the initial weights, the batches, and sampling noise, also on a device with a seed of its own. Runs
            with equal seeds start from the same weights and see the same batches, with and without a teacher.

    Example:
        >>> from qkd_pl import QNN, CrossEntropy, datasets
        >>> train, test = datasets.topological_phases(n_qubits=3, n_train=32, n_test=32, seed=0)
        >>> trainer = KDTrainer(iterations=30, seed=1)
        >>> model = trainer.fit(QNN(n_qubits=3, n_layers=1), train, loss=CrossEntropy(logit_scale=10.0))
        >>> model.score(*test) > 0.7
        True
        >>> tuned = trainer.fit(model.network, test, initial=model)  # goes on from the model's weights
    """

    iterations: int = 50
    batch_size: int = 64
    optimizer: str = "adam"
    learning_rate: Schedule = DEFAULT_RATE
    weight_decay: float = 0.0
    device: AnyDevice = None
    seed: int = 0

    @overload
    def fit(self, network: QNN, train: Any, **settings: Any) -> TrainedQNN: ...
    @overload
    def fit(self, network: QAE, train: Any, **settings: Any) -> TrainedQAE: ...
    @overload
    def fit(self, network: Network, train: Any, **settings: Any) -> Any: ...
    def fit(  # type: ignore[misc]
        self,
        network: Network,
        train: Any,
        *positional: Any,
        teacher: Any = None,
        loss: Any = None,
        validation: Any = None,
        hints: Any = None,
        sample_weight: Any = None,
        callbacks: Sequence[Callback] = (),
        checkpoint: str | Path | None = None,
        checkpoint_every: int = 10,
        initial: Any = None,
    ) -> Model:
        """Train from random weights, by default uniform in [0, 2π), for a QAE normal with standard deviation 0.3.

        Args:
            network: a QNN, QAE, CircuitNetwork, or anything that has what a
                :class:`~qkd_pl.networks.protocol.Network` needs; it is checked before the training starts.
            train: the pair ``(inputs, labels)``. Labels are class indices, −1 or NaN where a sample has none (−1 is
                never a class here; :class:`~qkd_pl.estimators.QNNClassifier` takes any labels); numbers in regression,
                NaN where there is none; None where the loss uses none.
            teacher: what :func:`qkd_pl.teachers.teacher_logits` takes, for regression
                :func:`qkd_pl.teachers.teacher_predictions`.
            loss: one of :mod:`qkd_pl.training.losses`, or any function ``(outputs, targets) -> (value, cotangent)``. By
                default :class:`CrossEntropy`, with a teacher :class:`Distillation`, for a QAE :class:`Infidelity`.
            validation: ``(inputs, labels)`` on which loss and score are recorded after each iteration, as
                ``validation_loss`` and ``validation_score``.
            hints: ``(n, m)`` values of the loss's extra observables; by default the teacher's.
            sample_weight: ``(n,)``, not negative; only ratios count.
            callbacks: watch the run, and may stop it.
            checkpoint: file that holds the run's state; if it exists, training continues from it, bit for bit. The
                checkpoint of a finished run serves for one with more iterations, too.
            checkpoint_every: iterations between writes of that file.
            initial: a model, weights in radians of shape ``network.weights_shape`` or a dictionary of the named arrays,
                or a distribution of :mod:`qkd_pl.training.initial` to draw them from.

        Raises:
            InvalidInputError: a setting, the data, the loss, the teacher, a callback or the checkpoint's path does not
                fit.
            DeviceConfigError: the device cannot be used.
            TrainingDivergedError: the loss or its gradient is no longer finite.
            FileFormatError: the checkpoint is damaged or belongs to another run.
        """
        self.check_settings()
        _check_train(train, positional)
        check_count("checkpoint_every", checkpoint_every)
        check_callbacks(callbacks)
        path = None if checkpoint is None else checkpoint_path(checkpoint)
        given = {"teacher": teacher, "hints": hints, "iterations": self.iterations}
        problem = pose(network, (train[0], train[1]), loss=loss, sample_weight=sample_weight, **given)
        watch = None if validation is None else Validation(problem, validation, **given)
        watchers = [*callbacks] if watch is None else [watch, *callbacks]
        run = self._start(problem, initial, watch)
        if path is not None and not run.device.is_storable:
            raise InvalidInputError(
                f"checkpoint: device {run.device.name!r} is, or has among its options, an object that no file can hold "
                "and that cannot be told from another; give the device by name"
            )
        states = restore_checkpoint(run, path, watchers) if path is not None and path.is_file() else []
        qnode = run.device.qnode(problem.circuit, network.wires, run.random["device"])
        with watching(watchers, run, states, path):
            while run.iteration < run.iterations and not run.stopped:
                self._step(run, qnode, problem)
                for callback in watchers:
                    callback.on_iteration_end(run)
                run.history[-1] = storable(run.history[-1], "history")
                last = run.stopped or run.iteration == run.iterations
                if path is not None and (last or run.iteration % checkpoint_every == 0):
                    save_checkpoint(run, path, watchers)
        return run.model()

    def _start(self, problem: Problem, initial: Any, validation: Validation | None) -> Run:
        """The run before its first iteration."""
        # One stream for each use, so that with equal seeds batches agree whatever the network or the device draws.
        streams = map(np.random.default_rng, np.random.SeedSequence(self.seed).spawn(len(_STREAMS)))
        random = dict(zip(_STREAMS, streams, strict=True))
        initial = default_initial(problem.network) if initial is None else initial
        weights = initial_weights(initial, problem.network, random.pop("weights"))
        device = resolve_device(self.device)
        settings: dict[str, Any] = {
            "iterations": int(self.iterations),
            "batch_size": int(self.batch_size),
            "optimizer": self.optimizer,
            "learning_rate": describe_schedule(self.learning_rate, self.iterations),
            "weight_decay": float(self.weight_decay),
            "device": device.to_json(),
            "seed": int(self.seed),
        }
        loss = describe_loss(problem.loss, self.iterations)
        # A longer run begins like a shorter one.
        determining = {name: value for name, value in settings.items() if name != "iterations"}
        data = _arrays(problem, "")
        if validation is not None:
            data |= _arrays(validation.data, "validation_")
        network = fingerprint(problem.network)
        checksums = {name: checksum({name: array}) for name, array in data.items()}
        determined: dict[str, Any] = {"settings": determining, "loss": loss, "network": network, "data": checksums}
        determined["initial weights"] = checksum({"weights": weights})
        told = {**settings, "loss": loss, "task": problem.task, "initial": describe_initial(initial)}
        if problem.task == "classification":
            told["logit_scale"] = probability_scale(problem.loss, self.iterations - 1)
        if problem.scaling is not None:
            told |= {"target_scale": list(problem.scaling.scale), "target_offset": list(problem.scaling.offset)}
        optimizer = make_optimizer(self.optimizer)
        return Run(problem.network, device, told, self.iterations, weights, optimizer, random, determined)

    def _step(self, run: Run, qnode: qml.QNode, problem: Problem) -> None:
        n_samples = len(problem.batch)
        size = min(self.batch_size, n_samples)
        indices = run.random["batches"].choice(n_samples, size=size, replace=False)
        outputs, pullback = vjp(qnode, run.weights, problem.batch.take(indices))
        loss, cotangent = problem.evaluate(outputs, problem.targets.take(indices, run.iteration))
        gradient = pullback(cotangent) + self.weight_decay * run.weights
        run.optimizer.stepsize = value_at(self.learning_rate, run.iteration)
        if not (np.isfinite(loss) and np.isfinite(gradient).all()):
            raise TrainingDivergedError(
                f"iteration {run.iteration + 1}: loss {loss}, largest gradient {np.abs(gradient).max()}; "
                f"learning rate {run.optimizer.stepsize:g}, device {run.device.name!r}"
            )
        weights = qml.numpy.array(run.weights, requires_grad=True)
        with np.errstate(all="ignore"):  # what overflows here is told in our own words
            run.weights = np.array(run.optimizer.apply_grad((gradient,), (weights,))[0])
        if not np.isfinite(run.weights).all():
            raise TrainingDivergedError(
                f"iteration {run.iteration + 1}: the {self.optimizer} step gives weights that are not finite; "
                f"learning rate {run.optimizer.stepsize:g}"
            )
        run.iteration += 1
        run.history.append(
            {
                "iteration": run.iteration,
                "loss": loss,
                "gradient_norm": float(np.linalg.norm(gradient)),
                "learning_rate": float(run.optimizer.stepsize),
            }
        )

    def check_settings(self) -> None:
        """Refuse settings that no training can have; :meth:`fit` begins with it.

        Raises:
            InvalidInputError: names the setting and what is allowed.
            DeviceConfigError: there is no such device, or it is hardware that the registry has no entry for.
        """
        check_count("iterations", self.iterations)
        check_count("batch_size", self.batch_size)
        check_count("seed", self.seed, 0)
        make_optimizer(self.optimizer)
        check_schedule("learning_rate", self.learning_rate, 0, above=True, iterations=self.iterations)
        check_number("weight_decay", self.weight_decay, 0)
        resolve_device(self.device)


def _check_train(train: Any, positional: tuple) -> None:
    if positional:
        raise InvalidInputError("train: give inputs and labels as one pair, fit(network, (inputs, labels))")
    if not isinstance(train, tuple | list) or len(train) != 2:
        raise InvalidInputError("train: must be a pair (inputs, labels); for a QAE, (states, None)")


def _arrays(problem: Problem, prefix: str) -> dict[str, np.ndarray]:
    """All data of a problem, for a checksum."""
    targets: Targets = problem.targets
    arrays = {
        "rows": problem.batch.rows,
        "mixture": problem.batch.weights,
        "labels": targets.labels,
        "teacher": targets.teacher,
        "hints": targets.hints,
        "sample_weight": targets.sample_weight,
    }
    return {f"{prefix}{name}": array for name, array in arrays.items() if array is not None}
