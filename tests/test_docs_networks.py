"""The page on circuits of the user's own runs from top to bottom, and does what it says."""

import re
from pathlib import Path

import numpy as np
import pytest

PAGE = Path(__file__).parents[1] / "docs" / "networks.md"


def test_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL):
        exec(block, names)
    np.testing.assert_array_equal(names["again"].logits(names["inputs"]), names["student"].logits(names["inputs"]))
    assert [parameter.name for parameter in names["circuit"].parameters] == [f"inputs[{i}]" for i in range(4)]
    assert names["program"].startswith("OPENQASM 2.0")
    assert names["ten_digits"].n_outputs == 10
    assert names["network"].n_outputs == 3
    assert float(names["qnode"](names["inputs"][0])) == pytest.approx(names["student"].outputs(names["inputs"])[0, 0])
