"""A result of a run on points that was damaged is one line, or a page of what is there."""

import copy
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcrep.reports.results import read_result
from pcrep.reports.runs import results
from pcrep.reports.segmentation import _scores_of_objects
from tests.damage import damaged
from tests.pcrep.reports.results import RESULT
from tspcrep.common.errors import UserError


def page_of(folder, result):
    (folder / "result.json").write_text(json.dumps(result))
    read = read_result(folder, "segmentation")
    objects = _scores_of_objects(read["instances"]) if read.get("instances") else []
    return "".join([*results(read), *objects])


def test_the_page_opens_with_the_number_and_its_control(tmp_path):
    page = page_of(tmp_path, RESULT)
    first = page.index('class="first"')
    assert "40.0 %" in page[first : first + 200] and "41.1 %" in page[first : first + 400]
    assert "No clear difference: tuned is 1.1 points worse" in page[:first]


def test_classes_are_rows_and_the_mean_is_first(tmp_path):
    classes = page_of(tmp_path, RESULT).split("<h2>Classes</h2>")[1]
    rows = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', classes)
    cells = {name: re.findall("<td>(.*?)</td>", row) for name, row in rows}
    assert list(cells)[:5] == ["mIoU", "floor", "chair", "precision", "recall"]
    assert cells["mIoU"] == ["40.0", "30.0", "41.1", "20.0"]
    assert cells["chair"] == ["10.0", "10.0", "–", "10.0"]


def test_one_seed_has_no_spread_and_nothing_is_marked(tmp_path):
    page = page_of(tmp_path, {**RESULT, "seeds": [0], "instances": {}})
    assert "±" not in page and 'class="best"' not in page


@given(result=damaged(RESULT))
def test_a_damaged_result_is_one_line_or_a_page(tmp_path_factory, result):
    try:
        page = page_of(tmp_path_factory.getbasetemp(), result)
    except UserError as error:
        assert "\n" not in str(error) and "result.json" in str(error)
    else:
        assert "<h2>Results</h2>" in page and "<b>" not in page


@given(name=st.sampled_from(["<b>x</b>", "a & b", '"', "_x", "$"]) | st.text(min_size=1))
def test_names_of_classes_make_no_markup(tmp_path_factory, name):
    result = copy.deepcopy(RESULT)
    result["iou"][name] = result["instances"].setdefault(name, {"pq": 0.1})["pq"]
    plain = copy.deepcopy(RESULT)
    plain["iou"]["plain"] = plain["instances"].setdefault("plain", {"pq": 0.1})["pq"]
    folder = tmp_path_factory.getbasetemp()
    if name not in RESULT["iou"] and name not in RESULT["instances"]:
        found, expected = (page_of(folder, one) for one in (result, plain))
        tags = [re.findall("<[^>]*>", page) for page in (found, expected)]
        assert tags[0] == tags[1]


def test_a_pretraining_without_labels_scores_nothing(tmp_path):
    bare = {"task": "pretraining", "data": "x", "seeds": [0], "timing": {"train_s": 1.0}}
    (tmp_path / "result.json").write_text(json.dumps(bare))
    assert read_result(tmp_path, "pretraining") == bare
    (tmp_path / "result.json").write_text(json.dumps({**bare, "miou": 0.5}))
    with pytest.raises(UserError, match="lacks"):
        read_result(tmp_path, "pretraining")
    with pytest.raises(UserError, match="found the task 'pretraining'"):
        read_result(tmp_path, "segmentation")
