"""One trainer for teachers, students and autoencoders."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import pennylane as qml

from qkd_pl.checks import check_count, check_number, checked_labels
from qkd_pl.circuits.preparations import Preparations
from qkd_pl.circuits.readout import cotangent_of_outputs, logits_of
from qkd_pl.devices.registry import AnyDevice, resolve_device
from qkd_pl.errors import InvalidInputError, TrainingDivergedError
from qkd_pl.gradients import vjp
from qkd_pl.networks.checking import quantum_function
from qkd_pl.networks.manifest import fingerprint
from qkd_pl.networks.models import TrainedNetwork, TrainedQAE, TrainedQNN
from qkd_pl.networks.networks import QAE, QNN
from qkd_pl.networks.protocol import Network, n_classes_of
from qkd_pl.networks.weights import checked_shape, inner_shape, joined_weights
from qkd_pl.storage import checksum
from qkd_pl.teachers import teacher_logits
from qkd_pl.training.callbacks import Callback, check_callbacks, watching
from qkd_pl.training.checkpoint import checkpoint_path, restore_checkpoint, save_checkpoint
from qkd_pl.training.losses import KLScale, cross_entropy, distillation, infidelity
from qkd_pl.training.run import Run

#: From outputs (n, K) and the samples' indices (n,) to the loss and its cotangent (n, K).
Objective = Callable[[np.ndarray, np.ndarray], tuple[float, np.ndarray]]


@dataclass(frozen=True, kw_only=True)
class KDTrainer:
    """Trains a network by Adam on random batches: by cross-entropy, by distillation, or, for a QAE, by fidelity.

    Attributes:
        iterations: number of updates.
        batch_size: samples per update, drawn without replacement within a batch.
        learning_rate: Adam's step size, in radians; multiplied by ``lr_decay`` every ``lr_step`` iterations.
        weight_decay: L2 coefficient; ``weight_decay · weights`` is added to the gradient.
        logit_scale: s in the cross-entropy (Eq. 4), and in ``predict_proba`` of the model.
        temperature, alpha, scale_kl: T, α and the factor of the KD loss (Eq. 7).
        device: name in the device registry, or a spec; None for the registry's default.
        seed: of the initial weights, the batches, and sampling noise, also on a device with a seed of its own. Runs
            with equal seeds start from the same weights and see the same batches, with and without a teacher.

    Example:
        >>> from qkd_pl import QNN, datasets
        >>> train, test = datasets.topological_phases(n_qubits=3, n_train=32, n_test=32, seed=0)
        >>> model = KDTrainer(iterations=30, logit_scale=10.0, seed=1).fit(QNN(n_qubits=3, n_layers=1), train)
        >>> model.score(*test) > 0.7
        True
    """

    iterations: int = 50
    batch_size: int = 64
    learning_rate: float = 0.3
    lr_step: int = 10
    lr_decay: float = 0.9
    weight_decay: float = 0.0
    logit_scale: float = 1.0
    temperature: float = 0.5
    alpha: float = 1.0
    scale_kl: KLScale = "T2"
    device: AnyDevice = None
    seed: int = 0

    @overload
    def fit(self, network: QNN, train: Any, **settings: Any) -> TrainedQNN: ...
    @overload
    def fit(self, network: QAE, train: Any, **settings: Any) -> TrainedQAE: ...
    @overload
    def fit(self, network: Network, train: Any, **settings: Any) -> TrainedQNN: ...
    def fit(  # type: ignore[misc]
        self,
        network: Network,
        train: Any,
        *,
        teacher: Any = None,
        initial_weights: Any = None,
        callbacks: Sequence[Callback] = (),
        checkpoint: str | Path | None = None,
        checkpoint_every: int = 10,
    ) -> TrainedNetwork:
        """Train from random weights, uniform in [0, 2π).

        Args:
            network: a QNN, QAE, CircuitNetwork, or anything that has what a
                :class:`~qkd_pl.networks.protocol.Network` needs; it is checked before the training starts.
            train: ``(inputs, labels)``; the labels may be None where they are not used, for a QAE, and for distillation
                with ``alpha=1``.
            teacher: None for cross-entropy (Eq. 4), else what :func:`qkd_pl.teachers.teacher_logits` takes (Eq. 7).
            initial_weights: radians, of shape ``network.weights_shape``, or a dictionary of the named arrays, to start
                from instead.
            callbacks: watch the run.
            checkpoint: file that holds the run's state; if it exists, training continues from it, bit for bit. The
                checkpoint of a finished run serves for one with more iterations, too.
            checkpoint_every: iterations between writes of that file.

        Raises:
            InvalidInputError: a setting, the data, the teacher, a callback or the checkpoint's path does not fit.
            TrainingDivergedError: the loss or its gradient is no longer finite.
            FileFormatError: the checkpoint is damaged or belongs to another run.
        """
        self.check_settings()
        check_count("checkpoint_every", checkpoint_every)
        check_callbacks(callbacks)
        path = None if checkpoint is None else checkpoint_path(checkpoint)
        quantum_function(network)
        inputs, labels = _checked(train)
        batch = network.encode(inputs)
        circuit = quantum_function(network, batch.rows.shape[-1])
        objective, targets = self._objective(network, inputs, labels, teacher)
        run = self._start(network, batch, targets, initial_weights)
        if path is not None and path.is_file():
            restore_checkpoint(run, path)
        qnode = run.device.qnode(circuit, network.wires, run.random["device"])
        with watching(callbacks, run):
            while run.iteration < run.iterations:
                self._step(run, qnode, batch, objective)
                for callback in callbacks:
                    callback.on_iteration_end(run)
                if path is not None and (run.iteration % checkpoint_every == 0 or run.iteration == run.iterations):
                    save_checkpoint(run, path)
        return run.model()

    def _objective(
        self, network: Network, inputs: np.ndarray, labels: np.ndarray | None, teacher: Any
    ) -> tuple[Objective, dict[str, np.ndarray]]:
        """The loss as a function of outputs and indices, and the targets that it compares with."""
        if isinstance(network, QAE):
            if teacher is not None:
                raise InvalidInputError("teacher: an autoencoder is trained by fidelity, without a teacher")
            return lambda outputs, indices: infidelity(outputs), {}
        if labels is None and teacher is not None and self.alpha == 1:
            labels = np.zeros(len(inputs), dtype=np.int64)  # with α = 1 no label enters the loss
        if labels is None:
            raise InvalidInputError(
                "labels are None; only an autoencoder, or distillation with alpha=1, is trained without labels"
            )
        n_classes = n_classes_of(network)
        labels = checked_labels(labels, len(inputs), n_classes)
        if teacher is None:
            return _on_logits(lambda logits, indices: cross_entropy(logits, labels[indices], self.logit_scale)), {
                "labels": labels
            }
        targets = teacher_logits(teacher, inputs, n_classes)

        def distil(outputs: np.ndarray, indices: np.ndarray) -> tuple[float, np.ndarray]:
            return distillation(
                outputs,
                targets[indices],
                labels[indices],
                temperature=self.temperature,
                alpha=self.alpha,
                logit_scale=self.logit_scale,
                scale_kl=self.scale_kl,
            )

        return _on_logits(distil), {"labels": labels, "teacher_logits": targets}

    def _start(
        self,
        network: Network,
        batch: Preparations,
        targets: dict[str, np.ndarray],
        initial_weights: np.ndarray | None,
    ) -> Run:
        if len(batch) == 0:
            raise InvalidInputError("train: there are no samples to train on")
        # One stream for each use, so that with equal seeds batches agree whatever the network or the device draws.
        streams = map(np.random.default_rng, np.random.SeedSequence(self.seed).spawn(3))
        random = dict(zip(("weights", "batches", "device"), streams, strict=True))
        shape = checked_shape(network.weights_shape)
        weights = random.pop("weights").uniform(0.0, 2.0 * np.pi, inner_shape(shape))
        if initial_weights is not None:
            weights = joined_weights(initial_weights, shape, "initial_weights")
        device = resolve_device(self.device)
        loss = "fidelity" if not targets else "distillation" if "teacher_logits" in targets else "cross-entropy"
        settings = {**asdict(self), "device": device.to_json(), "loss": loss}
        data = {"rows": batch.rows, "mixture": batch.weights, **targets, "initial_weights": weights}
        # A longer run begins like a shorter one.
        determining = {name: value for name, value in settings.items() if name != "iterations"}
        determined = {"settings": determining, "network": fingerprint(network), "data": checksum(data)}
        optimizer = qml.AdamOptimizer(self.learning_rate)
        return Run(network, device, settings, self.iterations, weights, optimizer, random, determined)

    def _step(self, run: Run, qnode: qml.QNode, batch: Preparations, objective: Objective) -> None:
        size = min(self.batch_size, len(batch))
        indices = run.random["batches"].choice(len(batch), size=size, replace=False)
        outputs, pullback = vjp(qnode, run.weights, batch.take(indices))
        loss, cotangent = objective(outputs, indices)
        gradient = pullback(cotangent) + self.weight_decay * run.weights
        run.optimizer.stepsize = self.learning_rate * self.lr_decay ** (run.iteration // self.lr_step)
        if not (np.isfinite(loss) and np.isfinite(gradient).all()):
            raise TrainingDivergedError(
                f"iteration {run.iteration + 1}: loss {loss}, largest gradient {np.abs(gradient).max()}; "
                f"learning rate {run.optimizer.stepsize:g}, device {run.device.name!r}"
            )
        weights = qml.numpy.array(run.weights, requires_grad=True)
        run.weights = np.array(run.optimizer.apply_grad((gradient,), (weights,))[0])
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
        """
        for name in ("iterations", "batch_size", "lr_step"):
            check_count(name, getattr(self, name))
        check_count("seed", self.seed, 0)
        for name in ("learning_rate", "lr_decay", "logit_scale", "temperature"):
            check_number(name, getattr(self, name), 0, above=True)
        check_number("weight_decay", self.weight_decay, 0)
        check_number("alpha", self.alpha, 0, 1)
        if self.scale_kl not in ("T2", "none"):
            raise InvalidInputError(f"scale_kl={self.scale_kl!r}: must be 'T2' or 'none'")


def _on_logits(loss: Objective) -> Objective:
    """A loss of logits as one of outputs."""

    def objective(outputs: np.ndarray, indices: np.ndarray) -> tuple[float, np.ndarray]:
        value, cotangent = loss(logits_of(outputs), indices)
        return value, cotangent_of_outputs(cotangent, outputs.shape[1])

    return objective


def _checked(train: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Inputs and labels."""
    if not isinstance(train, tuple | list) or len(train) != 2:
        raise InvalidInputError("train: must be a pair (inputs, labels); for a QAE, (states, None)")
    return train[0], train[1]
