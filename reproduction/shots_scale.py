"""The logit scale that suits a number of shots: is s = min(√shots, 30) right beyond the task that it came from?

Small scales leave the decision boundary in the wrong place, large ones leave margins so small that they drown in shot
noise. A training does not know where its student will run. One student for each scale, of equal initial weights, runs
under the noise of a device with different numbers of shots, on several tasks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qkd_pl.checks import check_count
from qkd_pl.errors import InvalidInputError
from qkd_pl.networks.networks import QNN
from qkd_pl.statistics import Estimate
from qkd_pl.training.losses import CrossEntropy
from reproduction.arms import FIRST_STUDENT_SEED, trainer_and_losses
from reproduction.noisy_outputs import accuracy, drawn, joint_expectations, noisy_device
from reproduction.problems import PROBLEMS
from reproduction.results import Results
from reproduction.rows import compared
from reproduction.sweep import Unit, run_units

#: Rules of thumb: s = min(factor · √shots, largest).
RULES = {"rule": (1.0, 30.0), "half": (0.5, 16.0)}
#: The second rule was found on so many data sets of each task; the others are to confirm it.
FOUND_ON = 10


@dataclass(frozen=True, kw_only=True)
class ShotsScaleSettings:
    """Accuracy on a noisy device of students by cross-entropy at several logit scales, against the number of shots.

    A seed is a data set, with samples and initial weights of its own, which all scales share. A data set takes about
    ten seconds on one core.

    Attributes:
        problems: names of the data: phases, ising, mnist-1-5, wine, breast-cancer, digits or cluster-ising.
        scales: logit scales of the students.
        shots: for each sample.
        draws: so many evaluations are averaged.
        backend: whose noise there is, as for qkd.noisy; states enter without noise.
        device: device on which everything is trained, a name in devices.yaml.
    """

    problems: tuple[str, ...] = ("phases", "ising", "mnist-1-5", "breast-cancer", "wine")
    scales: tuple[float, ...] = (1.0, 3.0, 8.0, 16.0, 30.0, 100.0)
    shots: tuple[int, ...] = (64, 256, 1024, 4096)
    draws: int = 10
    backend: str = "fake_montreal"
    device: str = "lightning"

    def __post_init__(self) -> None:
        check_count("draws", self.draws)
        allowed = sorted(PROBLEMS.keys() - {"file"})
        if unknown := [problem for problem in self.problems if problem not in allowed]:
            raise InvalidInputError(f"problems={','.join(unknown)}: must be of {', '.join(allowed)}")
        for name in ("scales", "shots"):
            if not (values := getattr(self, name)) or len(set(values)) < len(values) or min(values) <= 0:
                raise InvalidInputError(f"{name}={values}: must be different numbers above 0, at least one")


def chosen(name: str, shots: int, scales: Sequence[float]) -> float:
    """Of some scales the one nearest to a rule's, by ratio.

    Example:
        >>> [chosen("rule", shots, (1.0, 8.0, 16.0, 30.0, 100.0)) for shots in (64, 256, 1024, 4096)]
        [8.0, 16.0, 30.0, 30.0]
    """
    factor, largest = RULES[name]
    wanted = min(factor * float(np.sqrt(shots)), largest)
    return min(scales, key=lambda scale: abs(float(np.log(scale / wanted))))


def run_shots_scale(settings: ShotsScaleSettings, seeds: int, results: Results, *, workers: int = 1) -> dict[str, Any]:
    """Run or resume the experiment.

    Returns:
        the summary: for each task and number of shots the accuracies by scale, the scales that the rules give, the best
        by mean test accuracy, the paired differences of the rules from it and from each other, and the latter on the
        data sets on which the second rule was not found.
    """
    plain = asdict(settings)
    keys = ("scales", "shots", "draws", "backend", "device")
    units = [
        Unit(f"{problem}-{seed:02d}", measure_scales, {**{key: plain[key] for key in keys}, **each})
        for problem in settings.problems
        for seed in range(seeds)
        for each in [{"problem": problem, "seed": seed}]
    ]
    rows = iter(run_units(units, results, workers=workers, title="data sets"))
    found = {problem: [next(rows) for _ in range(seeds)] for problem in settings.problems}
    return {
        "settings": plain,
        "data_sets": seeds,
        "problems": {
            problem: {str(shots): _summarise(each, shots, settings.scales) for shots in settings.shots}
            for problem, each in found.items()
        },
    }


def measure_scales(
    *,
    problem: str,
    seed: int,
    scales: list[float],
    shots: list[int],
    draws: int,
    backend: str,
    device: str,
    directory: Path,
) -> dict[str, float]:
    """Train a student for each scale on one data set; test accuracies on the device by ``shots/scale``."""
    recipe = PROBLEMS[problem]
    split = recipe.load(seed, recipe.n_pool, recipe.n_test, None)
    ring = recipe.network(split, recipe.student_layers)
    # On a line, as for a device: a ring would be routed.
    network = QNN(ring.n_qubits, ring.n_layers, n_classes=ring.n_outputs, embedding=ring.embedding, topology="line")
    trainer, _, _ = trainer_and_losses({**recipe.trainer, "device": device, "seed": FIRST_STUDENT_SEED + seed})
    found = {}
    for scale in scales:
        student = trainer.fit(network, split.pool, loss=CrossEntropy(scale))
        found[f"exact/{scale:g}"] = student.score(*split.test)
        joint = joint_expectations(student, split.test.inputs, noisy_device(backend))
        generator = np.random.default_rng([seed, int(1000 * scale)])
        for count in shots:
            scores = [accuracy(drawn(joint, count, generator), split.test.labels) for _ in range(draws)]
            found[f"{count}/{scale:g}"] = float(np.mean(scores))
    return found


def _summarise(rows: Sequence[Mapping[str, float]], shots: int, scales: Sequence[float]) -> dict[str, Any]:
    arms = {f"{scale:g}": [row[f"{shots}/{scale:g}"] for row in rows] for scale in scales}
    best = max(arms, key=lambda scale: float(np.mean(arms[scale])))
    by_rule = {name: f"{chosen(name, shots, scales):g}" for name in RULES}
    values = {**arms, "best": arms[best], **{name: arms[scale] for name, scale in by_rule.items()}}
    pairs = [("rule", "best"), ("half", "best"), ("half", "rule")]
    fresh = {arm: each[FOUND_ON:] for arm, each in values.items() if arm in RULES}
    return {
        "scales": {"best": float(best), **{name: float(scale) for name, scale in by_rule.items()}},
        "accuracy": compared(values, pairs),
        "confirmed": compared(fresh, pairs[-1:]) if fresh["rule"] else None,
    }


def format_shots_scale(summary: Mapping[str, Any]) -> str:
    """The summary as text: mean ± 95 % confidence interval over data sets."""
    scales = [f"{scale:g}" for scale in summary["settings"]["scales"]]
    lines = []
    for problem, by_shots in summary["problems"].items():
        head = "".join(f"{f's = {scale}':>17}" for scale in scales)
        lines += ["", f"{problem}, {summary['data_sets']} data sets", f"{'shots':>8}{head}   rule, best, rule - best"]
        for shots, found in by_shots.items():
            cells = "".join(f"{Estimate.from_json(found['accuracy'][scale])!s:>17}" for scale in scales)
            end = Estimate.from_json(found["accuracy"]["rule - best"])
            lines.append(f"{shots:>8}{cells}   {found['scales']['rule']:g}, {found['scales']['best']:g}, {end}")
    return "\n".join(lines[1:])
