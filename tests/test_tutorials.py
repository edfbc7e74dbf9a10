"""Every tutorial runs from top to bottom, in a kernel of its own."""

import os
from pathlib import Path

import nbclient
import nbformat
import pytest

from qkd_pl.datasets.cache import cache_directory

TUTORIALS = sorted((Path(__file__).parents[1] / "tutorials").glob("*.ipynb"))
SECONDS_PER_CELL = 300
MNIST_PLACES = [Path(os.environ.get("QKD_PL_DATA", "")) / "mnist.npz", cache_directory() / "mnist.npz"]


def test_there_are_eight_tutorials():
    assert [path.stem[:2] for path in TUTORIALS] == ["01", "02", "03", "04", "05", "06", "07", "08"]


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_runs_without_errors(path, tmp_path, monkeypatch):
    if "mnist" in path.stem and not any(place.is_file() for place in MNIST_PLACES):
        pytest.skip("MNIST is not here, and tests download nothing")
    monkeypatch.setenv("QKD_PL_LEDGER", str(tmp_path / "ledger.sqlite"))
    monkeypatch.delenv("MPLBACKEND", raising=False)
    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(notebook, timeout=SECONDS_PER_CELL, resources={"metadata": {"path": tmp_path}})
    client.execute()
    assert any("image/png" in output.get("data", {}) for output in outputs(notebook))


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_the_committed_outputs_are_those_of_one_run_without_errors_or_warnings(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not [
        output for output in outputs(notebook) if output.output_type == "error" or output.get("name") == "stderr"
    ]
    assert any("image/png" in output.get("data", {}) for output in outputs(notebook))


def outputs(notebook) -> list:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
