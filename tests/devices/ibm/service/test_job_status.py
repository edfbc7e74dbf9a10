"""What the service's words mean, and what several parts make together."""

import pytest

from qkd_pl.devices.ibm.service.job_status import Stage, Status, combine, from_service


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("QUEUED", Status.QUEUED),
        ("INITIALIZING", Status.QUEUED),
        ("RUNNING", Status.RUNNING),
        ("DONE", Status.DONE),
        ("ERROR", Status.FAILED),
        ("CANCELLED", Status.CANCELLED),
        ("Cancelled - Ran too long", Status.FAILED),
        ("CANCELLED - RAN TOO LONG", Status.FAILED),
        ("CANCELLED - of a kind not seen before", Status.CANCELLED),
    ],
)
def test_words_of_the_service(word: str, status: Status) -> None:
    assert from_service(word) is status


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ([Status.DONE, Status.DONE], Status.DONE),
        ([Status.DONE, Status.RUNNING], Status.RUNNING),
        ([Status.QUEUED, Status.RUNNING], Status.RUNNING),
        ([Status.QUEUED, Status.DONE], Status.QUEUED),
        ([Status.UNSENT, Status.RUNNING], Status.UNSENT),
        ([Status.CANCELLED, Status.UNSENT], Status.CANCELLED),
        ([Status.DONE, Status.FAILED], Status.FAILED),
        ([Stage.DONE, Stage.SENDING], Stage.SENDING),
        ([Stage.SUBMITTED, Stage.PREPARED], Stage.PREPARED),
        ([Stage.SUBMITTED, Stage.FAILED], Stage.FAILED),
        ([Stage.DONE, Stage.DONE], Stage.DONE),
    ],
)
def test_a_job_is_as_far_as_its_parts(parts: list, status: Status | Stage) -> None:
    assert combine(parts) is status


def test_every_final_stage_is_a_status() -> None:
    assert {Status(stage.value) for stage in Stage if stage.final} == {Status.DONE, Status.FAILED, Status.CANCELLED}
