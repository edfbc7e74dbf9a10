"""What a user's own loss returns is looked at in the first iteration."""

import numpy as np
import pytest

import qkd_pl as kd
from qkd_pl.errors import InvalidInputError


@pytest.mark.parametrize(
    ("loss", "problem"),
    [
        (lambda outputs, targets: 3.0, "returns 3.0"),
        (lambda outputs, targets: None, "returns None"),
        (lambda outputs, targets: ("much", outputs), "returns"),
        (lambda outputs, targets: (1.0, np.ones(len(outputs))), r"cotangent of shape \(4,\)"),
    ],
)
def test_a_result_that_is_no_value_and_cotangent_is_refused(loss, problem):
    inputs, labels = np.linspace(-1.0, 1.0, 8).reshape(4, 2), np.array([0, 0, 1, 1])
    network = kd.QNN(n_qubits=2, n_layers=1, embedding="angle")
    with pytest.raises(InvalidInputError, match=problem):
        kd.KDTrainer(iterations=1, batch_size=4).fit(network, (inputs, labels), loss=loss)
