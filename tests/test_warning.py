"""Warnings point at the user's line."""

import pytest

from qkd_pl.warning import warn


def test_frames_of_libraries_are_passed_over() -> None:
    namespace = {"__name__": "pennylane.devices.made_up", "warn": warn}
    exec("def called_by_pennylane():\n    warn('the moon is full', RuntimeWarning)", namespace)
    with pytest.warns(RuntimeWarning, match="the moon is full") as caught:
        namespace["called_by_pennylane"]()
    assert [each.filename for each in caught] == [__file__]
