"""The trials of a search, in rounds: Optuna proposes, workers try, and nothing that is finished is lost."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from joblib import Parallel, delayed
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from qkd_pl.errors import FileFormatError
from qkd_pl.search.feasibility import first_feasible
from qkd_pl.search.question import Question
from qkd_pl.search.space import SearchSpace
from qkd_pl.search.trial import Assignment, read_result, run_trial
from qkd_pl.upstream.optuna import running_trial

#: Trials that are proposed together, whatever the number of workers, so that the result does not depend on that.
ROUND = 4
_STARTUP = 8
_STATES = {"complete": TrialState.COMPLETE, "failed": TrialState.FAIL}


def conduct(
    folder: Path, question: Question, space: SearchSpace, *, trials: int, iterations: int, workers: int, seed: int
) -> list[dict[str, Any]]:
    """Run, or go on with, a search.

    Optuna's journal holds what was proposed, each trial's folder what came of it. The journal is written here only;
    a trial that a killed process left is told from its folder, or run again with the same seed.

    Returns:
        the results of all trials, in order.

    Raises:
        FileFormatError: the folder holds another search.
        InvalidInputError: no student is feasible; nothing is written then.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    n_classes = question.n_outputs if question.task == "classification" else None
    distributions = space.distributions(question.widths, n_classes, question.first_scale, question.encodes)
    first = first_feasible(question, space, distributions)
    folder.mkdir(parents=True, exist_ok=True)
    storage = JournalStorage(JournalFileBackend(str(folder / "optuna.journal")))
    study = optuna.create_study(storage=storage, study_name="search", direction="maximize", load_if_exists=True)
    _check_same(study, _fingerprint(question, space, iterations, seed), folder)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=_STARTUP, n_min_trials=3)
    while assigned := _round(study, folder, first, distributions, trials, seed):
        finished = [each for each in study.get_trials(deepcopy=False) if each.state is TrialState.COMPLETE]
        waiting = [each for each in assigned if read_result(each.folder) is None]
        running = Parallel(n_jobs=workers, return_as="generator_unordered", batch_size=1)(
            delayed(run_trial)(each, question, space, iterations, pruner, finished) for each in waiting
        )
        for _ in running:
            pass
        for each in assigned:  # in order, so that what Optuna learns does not depend on who was first
            _tell(study, each, read_result(each.folder))
    found = [read_result(_folder(folder, each.number)) for each in study.get_trials(deepcopy=False)]
    return [each for each in found if each is not None]


def _round(
    study: Any,
    folder: Path,
    first: Mapping[str, Any],
    distributions: Mapping[str, Any],
    trials: int,
    seed: int,
) -> list[Assignment]:
    """The unfinished trials of the present round; new ones are proposed until it is full."""
    # A process killed while it proposed leaves a trial without its choices, which no one has begun.
    for each in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if set(each.params) != set(distributions):
            study.tell(each.number, state=TrialState.FAIL)
    counted = [each for each in study.get_trials(deepcopy=False) if set(each.params) == set(distributions)]
    end = min(trials, (sum(each.state.is_finished() for each in counted) // ROUND + 1) * ROUND)
    for index in range(len(counted), end):
        generator = np.random.SeedSequence([seed, index]).generate_state(1)
        study.sampler = optuna.samplers.TPESampler(
            seed=int(generator[0]), n_startup_trials=_STARTUP, constant_liar=True
        )
        if index == 0:
            study.enqueue_trial(dict(first))
        study.ask(dict(distributions))
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return [
        Assignment(each.number, each.params, _folder(folder, each.number), _seed(seed, each.number)) for each in running
    ]


def _tell(study: Any, assignment: Assignment, result: Mapping[str, Any] | None) -> None:
    assert result is not None  # written by the worker before it returned
    state = _STATES.get(result["state"], TrialState.PRUNED)
    trial = running_trial(study, assignment.number)
    for step, value in result.get("intermediate", {}).items():
        trial.report(value, int(step))
    study.tell(assignment.number, result["agreement"] if state is TrialState.COMPLETE else None, state=state)


def _folder(folder: Path, number: int) -> Path:
    return folder / "trials" / f"{number:04d}"


def _seed(seed: int, number: int) -> int:
    return int(np.random.SeedSequence([seed, number, 1]).generate_state(1)[0] >> 1)


def _fingerprint(question: Question, space: SearchSpace, iterations: int, seed: int) -> str:
    digest = hashlib.sha256()
    for array in (question.train, question.taught, question.held_out):
        digest.update(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    settings = [question.spec.to_json(), dict(question.limits), question.n_inputs, question.ideal_preparation]
    digest.update(json.dumps([settings, iterations, seed, repr(space)], default=str).encode())
    return digest.hexdigest()


def _check_same(study: Any, fingerprint: str, folder: Path) -> None:
    if study.user_attrs.setdefault("fingerprint", fingerprint) != fingerprint:
        raise FileFormatError(f"{folder}: holds a search with other data or settings; give another folder")
    study.set_user_attr("fingerprint", fingerprint)
