"""What can watch a training run: hooks that do nothing by default."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from qkd_pl.checks import kind_of
from qkd_pl.errors import FileFormatError, InvalidInputError
from qkd_pl.training.run import Run


class Callback:
    """Base class: override what is needed. A callback may add JSON-able values to the run's last record, and end the
    training by ``run.stop()``.

    Example:
        >>> import numpy as np
        >>> from qkd_pl import QNN, KDTrainer
        >>> class LargestWeight(Callback):
        ...     def on_iteration_end(self, run):
        ...         run.history[-1]["largest"] = float(np.abs(run.weights).max())
        >>> bits = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
        >>> network = QNN(n_qubits=2, n_layers=1, embedding="basis")
        >>> model = KDTrainer(iterations=3).fit(network, (bits, bits[:, 0]), callbacks=[LargestWeight()])
        >>> ["largest" in record for record in model.history]
        [True, True, True]
    """

    def on_train_begin(self, run: Run) -> None:
        """Before the first iteration; of a resumed run, before the first one that is still to do."""

    def on_iteration_end(self, run: Run) -> None:
        """After each update of the weights; ``run.history[-1]`` is the record of this iteration."""

    def on_train_end(self, run: Run) -> None:
        """After the last iteration, also when training stops with an error."""

    def state(self) -> Mapping[str, Any]:
        """What a checkpoint must hold, so that the callback goes on as if the run had not been killed.

        Returns:
            JSON-able values and arrays by name.
        """
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state`; called after :meth:`on_train_begin` of a resumed run."""


def record(run: Run, callback: str, name: str, value: Any) -> None:
    """Add a value to the run's last record.

    Raises:
        InvalidInputError: the record has a value of this name.
    """
    if name in run.history[-1]:
        raise InvalidInputError(f"{callback}: {name!r} is recorded already; give each its own name=")
    run.history[-1][name] = value


def check_callbacks(callbacks: Sequence[Callback]) -> None:
    """Refuse anything but a sequence of callbacks.

    Raises:
        InvalidInputError: names what was found instead.
    """
    if not isinstance(callbacks, Sequence):
        raise InvalidInputError(f"callbacks: must be a list of callbacks, not {kind_of(callbacks)}")
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise InvalidInputError(f"callbacks: {callback!r} is not an instance of qkd_pl.callbacks.Callback")


def stateful(callbacks: Sequence[Callback]) -> list[Callback]:
    """Those with a state, which a checkpoint holds."""
    return [callback for callback in callbacks if type(callback).state is not Callback.state]


@contextmanager
def watching(
    callbacks: Sequence[Callback], run: Run, states: Sequence[Mapping[str, Any]] = (), source: object = None
) -> Iterator[None]:
    """Call ``on_train_begin`` and, whatever happens, ``on_train_end``.

    Args:
        callbacks, run: what watches, and what is watched.
        states: of a resumed run, read from ``source``.

    Raises:
        FileFormatError: a callback cannot go on from its state.
    """
    for callback in callbacks:
        callback.on_train_begin(run)
    for callback, state in zip(stateful(callbacks) if states else (), states, strict=True):
        try:
            callback.restore(state)
        except Exception as error:  # of the user's code, which may raise anything
            raise FileFormatError(
                f"{source}: {type(callback).__name__} cannot go on from its state "
                f"({type(error).__name__}: {error!s:.200})"
            ) from error
    try:
        yield
    finally:
        for callback in callbacks:
            callback.on_train_end(run)
