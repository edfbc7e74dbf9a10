"""The README's Python runs from top to bottom, and does what its comments say."""

import re
from pathlib import Path

import numpy as np
import pytest

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore::qkd_pl.errors.LowFidelityWarning")  # a teacher of random weights
@pytest.mark.filterwarnings("ignore::qkd_pl.errors.MisfitWarning")
def test_the_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL):
        exec(block, names)
    assert names["student"].score(*names["test"]) > 0.9
    assert (tmp_path / "student.safetensors").is_file()
    assert names["logits"].shape == (20, 3)
    exact = names["shallow"].logits(names["angles"][:20])
    assert np.abs(names["logits"] - exact).mean() < 0.1


def test_the_entry_for_hardware_is_one(tmp_path):
    from qkd_pl import load_devices

    (entry,) = re.findall(r"```yaml\n(.*?)```", README, flags=re.DOTALL)
    path = tmp_path / "devices.yaml"
    path.write_text(f"default: torino\ndevices:\n{entry}", encoding="utf-8")
    assert load_devices(path)["torino"].runs_on_hardware
