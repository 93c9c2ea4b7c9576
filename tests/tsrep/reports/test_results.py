"""A result of a run on series that was damaged is one line, or a page of what is there."""

import copy
import json
from pathlib import Path

import pytest
from hypothesis import given

from tests.damage import damaged
from tests.tsrep.reports.sets import CLASSES
from tspcrep.common.errors import UserError
from tsrep.reports.results import read_result
from tsrep.reports.sections import drawn_horizon, results

OLD = Path(__file__).parents[2] / "data" / "version-0.1"
SAMPLES = {
    "classes": CLASSES,
    **{
        name: json.loads((OLD / name / "result.json").read_text())
        for name in ("autotcl", "forecaster")
    },
}


def page_of(folder, result):
    (folder / "result.json").write_text(json.dumps(result))
    read = read_result(folder, "forecasting", "classification")
    if read["task"] == "forecasting":
        assert drawn_horizon(read) > 0
    return "".join(results(read))


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sound_result_opens_with_its_number(tmp_path, name):
    result = SAMPLES[name]
    page = page_of(tmp_path, result)
    number = result["average"]["mse"] if "average" in result else result["accuracy"]["svm"]
    first = page.index('class="first"')
    assert page.index('class="verdict"') < first < page.index("<h2>Results</h2>")
    assert f"<dd>{number:.4f}</dd>" in page[first : first + 200]


@pytest.mark.parametrize("name", SAMPLES)
def test_a_damaged_result_is_one_line_or_a_page(tmp_path_factory, name):
    folder = tmp_path_factory.mktemp("run")

    @given(damaged(SAMPLES[name]))
    def check(result):
        try:
            page = page_of(folder, result)
        except UserError as error:
            assert "\n" not in str(error) and "result.json" in str(error)
        else:
            assert "<h2>Results</h2>" in page and "<b>" not in page

    check()


def test_systems_were_tested_on_the_same_horizons(tmp_path):
    result = copy.deepcopy(SAMPLES["autotcl"])
    result["controls"]["nridge"]["horizons"]["9"] = {"mse": 1.0, "mae": 1.0}
    with pytest.raises(UserError, match="nridge: found the horizons"):
        page_of(tmp_path, result)


def test_a_result_of_another_task(tmp_path):
    (tmp_path / "result.json").write_text(json.dumps(CLASSES))
    with pytest.raises(UserError, match="found the task 'classification', expected forecasting"):
        read_result(tmp_path, "forecasting")


def test_names_of_systems_make_no_markup(tmp_path):
    result = copy.deepcopy(SAMPLES["forecaster"])
    result["controls"]["<b>&"] = result["controls"]["persistence"]
    assert "&lt;b&gt;&amp;" in page_of(tmp_path, result)
