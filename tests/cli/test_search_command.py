"""``qkd-pl search`` on files."""

import json
import re
from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from qkd_pl.cli.app import app


def test_searches_and_reports_errors(tmp_path: Path) -> None:
    bits = np.random.default_rng(0).integers(0, 2, (24, 2))
    np.savez(tmp_path / "data.npz", inputs=bits, labels=bits[:, 0])
    np.save(tmp_path / "teacher.npy", np.stack([1.0 - 2 * bits[:, 0], 2.0 * bits[:, 0] - 1], axis=1))
    command = ["search", "--data", str(tmp_path / "data.npz"), "--teacher", str(tmp_path / "teacher.npy")]
    command += ["--device", "manila", "--trials", "1", "--iterations", "20", "--out", str(tmp_path / "out"), "--json"]
    result = CliRunner().invoke(app, [*command, "--embedding", "basis"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["front"] == ["0"]
    assert report["table"][0]["agreement"] > 0.9
    assert report["left_out"] == {}
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code == 1
    assert "embedding" in refused.stderr


def test_trials_that_are_not_in_the_table_are_counted(tmp_path: Path) -> None:
    """With no two-qubit gate allowed, students proposed later are too dear: fewer rows than trials, and why."""
    bits = np.random.default_rng(0).integers(0, 2, (24, 2))
    np.savez(tmp_path / "data.npz", inputs=bits)
    np.save(tmp_path / "teacher.npy", np.stack([1.0 - 2 * bits[:, 0], 2.0 * bits[:, 0] - 1], axis=1))
    command = ["search", "--data", str(tmp_path / "data.npz"), "--teacher", str(tmp_path / "teacher.npy")]
    command += ["--device", "manila", "--embedding", "basis", "--max-two-qubit-gates", "0", "--iterations", "2"]
    result = CliRunner().invoke(app, [*command, "--trials", "4", "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    table, _, rest = result.stdout.partition("\n\n")
    last = rest.splitlines()[-1]
    left_out = re.fullmatch(r"left out: (\d) infeasible \(trial \d: two_qubit_gates \d+ is above 0\)", last)
    assert left_out, last
    assert len(table.splitlines()) - 1 + int(left_out[1]) == 4
