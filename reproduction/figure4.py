"""Figure 4 of the paper: phases of a 15-qubit chain, students of one to three layers."""

from dataclasses import dataclass
from typing import Any

from reproduction.depth import DepthSettings


@dataclass(frozen=True, kw_only=True)
class Figure4Settings(DepthSettings):
    """Figure 4: phases of a 15-qubit chain, students of one to three layers.

    After data and teachers (about five minutes), a seed takes about half a minute on two cores. Repeating the command
    resumes it, and adds seeds.

    Attributes:
        n_train: training states.
        n_test: test states.
        data_seed: seed of the fields of the states.
    """

    teacher_iterations: int = 50
    student_layers: tuple[int, ...] = (1, 2, 3)
    iterations: int = 50
    learning_rate: float = 0.3
    temperature: float = 0.5
    n_train: int = 500
    n_test: int = 500
    data_seed: int = 0

    @property
    def data(self) -> dict[str, Any]:
        """Ground states of a chain of ``n_qubits``."""
        return {key: getattr(self, key) for key in ("n_qubits", "n_train", "n_test", "data_seed")}

    @property
    def embedding(self) -> str:
        """The states themselves."""
        return "state"
