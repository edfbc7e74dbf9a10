"""Figure 5 of the paper: MNIST digits 1 and 5 as 15 bits, students of four to eight layers."""

from dataclasses import dataclass
from typing import Any

from reproduction.depth import DepthSettings


@dataclass(frozen=True, kw_only=True)
class Figure5Settings(DepthSettings):
    """The settings of Figure 5.

    Attributes:
        digits: the two classes.
        n_train, n_test: the first so many images of these digits; all by default.
    """

    teacher_candidates: int = 1
    teacher_iterations: int = 350
    student_layers: tuple[int, ...] = (4, 5, 6, 7, 8)
    iterations: int = 350
    learning_rate: float = 0.1
    temperature: float = 0.1
    digits: tuple[int, ...] = (1, 5)
    n_train: int | None = None
    n_test: int | None = None

    @property
    def data(self) -> dict[str, Any]:
        """Bits of as many principal components as there are qubits."""
        return {
            "digits": list(self.digits),
            "embedding": "phase",
            "n_components": self.n_qubits,
            "n_train": self.n_train,
            "n_test": self.n_test,
        }

    @property
    def embedding(self) -> str:
        """Each bit is the phase of one qubit."""
        return "phase"
