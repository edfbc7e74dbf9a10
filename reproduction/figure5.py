"""Figure 5 of the paper: MNIST digits 1 and 5 as 15 bits, students of four to eight layers."""

from dataclasses import dataclass
from typing import Any

from reproduction.depth import DepthSettings


@dataclass(frozen=True, kw_only=True)
class Figure5Settings(DepthSettings):
    """Figure 5: MNIST digits 1 and 5 as bits of 15 principal components, students of four to eight layers.

    After the teacher (about three minutes), a seed takes about eight minutes on two cores, of which depths 4 to 6,
    whose outputs depend on 10 to 14 qubits only, take two. Repeating the command resumes it, and adds seeds.

    Attributes:
        digits: the two classes.
        n_train: only the first so many training images of these digits.
        n_test: only the first so many test images of these digits.
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
