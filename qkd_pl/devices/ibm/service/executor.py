"""What the newer client's primitives make of a job's shots before the Executor runs it.

They twirl in this process: the shots of a circuit are spread over randomizations, rounded up. Read-out mitigation adds
one circuit of randomizations to the job, by which it learns (TREX). Source: ``executor/calculate_twirling_shots.py``
and ``executor_estimator/trex.py`` of qiskit-ibm-runtime 0.51.
"""

import math
from collections.abc import Mapping
from typing import Any

_MOST_RANDOMIZATIONS, _FEWEST_SHOTS = 32, 64


def shots_per_circuit(options: Mapping[str, Any], primitive: str, shots: int) -> int:
    """Shots that a circuit of this many is run with."""
    randomizations, each = _split(options, primitive, shots)
    return randomizations * each


def learning_executions(options: Mapping[str, Any], primitive: str, shots: int) -> int:
    """Executions (circuits × shots) by which read-out mitigation learns."""
    if primitive != "estimator" or not _mitigates_readout(options):
        return 0
    randomizations, each = _split(options, primitive, shots)
    learning = options.get("resilience", {}).get("measure_noise_learning", {})
    chosen = learning.get("num_randomizations", "auto")
    return (randomizations if chosen == "auto" else int(chosen)) * each


def _split(options: Mapping[str, Any], primitive: str, shots: int) -> tuple[int, int]:
    """Randomizations, and the shots of each."""
    if not _twirls(options, primitive):
        return 1, shots
    twirling = options.get("twirling", {})
    randomizations = twirling.get("num_randomizations", "auto")
    each = twirling.get("shots_per_randomization", "auto")
    if each == "auto":
        automatic = randomizations == "auto"
        each = max(_FEWEST_SHOTS, math.ceil(shots / _MOST_RANDOMIZATIONS)) if automatic else -(-shots // randomizations)
    return (math.ceil(shots / each) if randomizations == "auto" else int(randomizations)), int(each)


def _mitigates_readout(options: Mapping[str, Any]) -> bool:
    chosen = options.get("resilience", {}).get("measure_mitigation")
    return bool(_level(options) >= 1 if chosen is None else chosen)


def _twirls(options: Mapping[str, Any], primitive: str) -> bool:
    twirling = options.get("twirling", {})
    gates, measurements = twirling.get("enable_gates"), twirling.get("enable_measure")
    if primitive != "estimator":
        return bool(gates or measurements)
    gates = _level(options) == 2 if gates is None else gates
    measurements = _level(options) >= 1 if measurements is None else measurements
    return bool(gates or measurements or _mitigates_readout(options))


def _level(options: Mapping[str, Any]) -> int:
    chosen = options.get("resilience_level")
    return 1 if chosen is None else int(chosen)
