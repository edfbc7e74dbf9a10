"""Every block of code in the user guide runs, from the top of its page to the bottom, and says what is true."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import qkd_pl as kd
from qkd_pl.cli.app import app

GUIDE = Path(__file__).parents[1] / "docs" / "guide"
PAGES = sorted(path for path in GUIDE.glob("*.md") if path.stem != "index")


def run_commands(block: str) -> None:
    for line in block.splitlines():
        if line.startswith("qkd-pl "):
            result = CliRunner().invoke(app, shlex.split(line)[1:])
            assert result.exit_code == 0, result.output
        else:  # settings of the environment, with the reader's own secret
            assert line.startswith("export "), line


def run(page: str) -> dict:
    """The names that a page has defined at its end."""
    text = (GUIDE / f"{page}.md").read_text(encoding="utf-8")
    names: dict = {"__name__": page}
    for language, block in re.findall(r"```(\w+)\n(.*?)```", text, flags=re.DOTALL):
        if language == "python":
            exec(compile(block, page, "exec"), names)
        elif language == "yaml":
            Path("devices.yaml").write_text(block, encoding="utf-8")
        elif language == "sh":
            run_commands(block)
        else:
            pytest.fail(f"{page}: a block of {language} that nothing runs")
    return names


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def test_every_page_is_in_the_table_and_has_a_test():
    index = (GUIDE / "index.md").read_text(encoding="utf-8")
    source = Path(__file__).read_text(encoding="utf-8")
    assert len(PAGES) >= 7
    for path in PAGES:
        assert f"({path.name})" in index
        assert f'run("{path.stem}")' in source


def test_few_labels():
    names = run("few-labels")
    for model in ("unlabelled", "mixed"):
        agreement = names[model].predict(names["test"].inputs) == names["teacher"].predict(names["test"].inputs)
        assert agreement.mean() > 0.9
    assert min(names["distilled"]) > max(names["control"])


def test_temperature():
    names = run("temperature")
    assert names["scores"][30.0].mean > names["scores"][1.0].mean
    assert names["both"].score(*names["test"]) > 0.85


def test_noise():
    names = run("noise")
    exact = names["exact"].outputs(names["test"].inputs)
    assert abs(names["corrected"] - exact).mean() < 0.2 * abs(names["measured"] - exact).mean()
    assert names["aware"].score(*names["test"], device=names["noise"]) > 0.7
    assert all(0.3 < slope < 1.0 for slope in names["calibration"].slope)  # noise weakens outputs


def test_search():
    names = run("search")
    labels = names["teacher"].predict(names["test"].inputs)
    agreement = (names["logits"].argmax(axis=1) == labels).mean()
    # Binomial errors of 100 inputs in the job and 12 that confirm.
    assert abs(agreement - names["found"].best_row.confirmed) < 0.35
    assert agreement > 0.75


def test_hardware():
    names = run("hardware")
    assert names["outputs"].shape == names["raw"].shape == (40, 2)
    exact = names["model"].outputs(names["test"].inputs)
    assert abs(names["outputs"] - exact).mean() < abs(names["raw"] - exact).mean()
    assert names["second"].status() == "cancelled"


def test_regression():
    names = run("regression")
    assert names["teacher"].score(*names["test"]) > 0.8
    assert names["student"].score(*names["test"]) > 0.5
    assert names["regressor"].score(names["features"], names["targets"]) > 0.8


def test_losses():
    names = run("losses")
    for model in ("model", "student", "brier"):
        assert names[model].score(*names["test"]) > 0.8


def test_devices():
    names = run("devices")
    assert {name: spec.shots for name, spec in names["registry"].items()} == {"mixed": None, "torino": 2048}
    assert names["registry"]["torino"].runs_on_hardware


def test_an_embedding_of_ones_own():
    names = run("../extending")
    angles = np.array([[0.3, 0.0, 1.0]])
    model = kd.trained(names["network"], np.zeros(names["network"].weights_shape))
    np.testing.assert_allclose(model.outputs(angles), np.cos(angles[:, :2]), atol=1e-12)  # <Z> behind RY
