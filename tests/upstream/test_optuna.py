"""A trial of another process takes reports and an end."""

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from qkd_pl.upstream.optuna import running_trial


def test_a_trial_that_another_process_proposed_is_reported_and_told(tmp_path):
    def study():
        storage = JournalStorage(JournalFileBackend(str(tmp_path / "journal.log")))
        return optuna.create_study(study_name="s", storage=storage, load_if_exists=True, direction="maximize")

    first = study()
    for _ in range(2):
        first.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
    second = study()
    running_trial(second, 1).report(0.25, step=3)
    second.tell(1, 0.5)
    third = study()
    assert third.trials[1].intermediate_values == {3: 0.25}
    assert third.best_trial.number == 1
    assert third.trials[0].state == optuna.trial.TrialState.RUNNING
