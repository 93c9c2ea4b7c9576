"""The suite of files that nobody tuned on: which control is the best, and what is averaged."""

from pathlib import Path

import pytest

from tests.tools.running import is_one_line


@pytest.fixture
def held(suite):
    return suite("held")


def test_the_best_control_is_no_part_of_the_product(held, monkeypatch):
    average = {"persistence": 4.0, "lag_ridge": 2.0, "linear_path": 0.5, "random_encoder": 1.0}
    result = {
        "average": {"mse": 1.8, "mse_std": 0.1},
        "controls": {name: {"average": {"mse": mse}} for name, mse in average.items()},
        "coverage": {"6": 0.8, "12": 0.7},
    }
    told = []
    monkeypatch.setattr(held.train_forecaster, "main", told.append)
    monkeypatch.setattr(held, "read_result", lambda folder, task: result)
    rows = list(held.rows(Path("some/table.csv"), (3, 4)))
    assert [(c.data, c.seeds) for c in told] == [("some/table.csv", (3, 4))]
    found = {(row.case, row.system, row.metric): row.value for row in rows}
    assert found["table", "product", "mse"] == 1.8
    assert found["table", "product", "mse_over_best_control"] == pytest.approx(0.9)
    assert found["table/12", "product", "coverage"] == 0.7
    assert {(n, v) for (_, n, m), v in found.items() if m == "mse" and n != "product"} == set(
        average.items()
    )


def test_the_mean_over_files_is_geometric_and_of_these_files(held):
    metric = "mse_over_best_control"
    values = {("a", "product", metric): 0.5, ("b", "product", metric): 2.0}
    values["old", "product", metric] = 9.0
    rows = {row.case: row.value for row in held.means(values, ["a", "b"])}
    assert rows == pytest.approx({"mean": 1.0, "worst": 2.0})


@pytest.mark.parametrize("files", [(), ("a/x.csv", "b/x.csv")])
def test_files_without_a_name_of_their_own_are_one_line(tool, files):
    status, _, stderr = tool("benchmark", "held", *(["--data", *files] if files else []))
    is_one_line(status, stderr, "--data", "unlike names")
