"""What we rely on in Optuna that it does not document."""

from typing import Any

import optuna


def running_trial(study: optuna.Study, number: int) -> Any:
    """The trial of this number, to report values of; it may have been proposed by a process that has died.

    Optuna hands a trial out once, by ``ask``, and knows it later by an id of its own.
    """
    return optuna.trial.Trial(study, study.get_trials(deepcopy=False)[number]._trial_id)
