"""ARFF of several channels against arrays that it was written from, and against sktime's reader."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sktime.datasets import load_from_arff_to_dataframe

from tspcrep.common.errors import UserError
from tsrep.datasets import load_classification
from tsrep.datasets.labelled import read_labelled


def text(values, labels, quote='"'):
    """``values (N, T, C)`` as the UEA archive writes them."""
    steps = [f"@attribute walk_t{t} numeric" for t in range(values.shape[1])]
    kinds = ",".join(sorted(set(labels)))
    head = ["% of", "@relation A", "@attribute walk relational", *steps, "@end walk"]
    rows = [
        quote + r"\n".join(",".join(map(_cell, channel)) for channel in one.T) + quote + f",{label}"
        for one, label in zip(values, labels, strict=True)
    ]
    return "\n".join([*head, f"@attribute kind {{{kinds}}}", "", "@data", *rows, ""])


def _cell(value):
    return "?" if np.isnan(value) else repr(float(value))


@settings(deadline=None, max_examples=25)
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 3)),
    quote=st.sampled_from("\"'"),
    missing=st.floats(0, 0.5),
    seed=st.integers(0, 99),
)
def test_values_are_those_written(tmp_path_factory, shape, quote, missing, seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=shape)
    values[rng.random(shape) < missing] = np.nan
    labels = list(rng.choice(["run", "rest"], shape[0]))
    path = tmp_path_factory.mktemp("arff") / "a.arff"
    path.write_text(text(values, labels, quote))
    found = read_labelled(path)["all"]
    np.testing.assert_array_equal(found.values, values)
    assert found.labels.tolist() == labels


def test_a_set_as_sktime_reads_it(tmp_path):
    values, labels = np.random.default_rng(0).normal(size=(6, 5, 3)), list("abcabc")
    for part in ("TRAIN", "TEST"):
        (tmp_path / f"A_{part}.arff").write_text(text(values, labels, "'"))
    panel = load_classification(tmp_path / "A_TRAIN.arff")
    nested, classes = load_from_arff_to_dataframe(str(tmp_path / "A_TRAIN.arff"))
    cells = [[np.asarray(cell, float) for cell in row] for row in nested.to_numpy()]
    expected = np.array(cells).transpose(0, 2, 1)
    np.testing.assert_allclose(panel.scaler.inverse(panel.train), expected, atol=1e-5)
    assert [panel.classes[i] for i in panel.train_labels] == list(classes)


HEAD = (
    "@relation a\n@attribute x relational\n@attribute t0 numeric\n@attribute t1 numeric\n@end x\n"
)
KIND = "@attribute kind {a,b}\n@data\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HEAD + KIND + r'"1,2\n3",a', r"row 1 has channels of \[1, 2\] steps, expected 2"),
        (HEAD + KIND + '"1,2",a\n' + r'"1,2\n3,4",b', r"series have \[1, 2\] channels"),
        (HEAD + KIND + '"1,x",a', "row 1: could not convert string to float"),
        (HEAD + KIND + "1,2,a", "row 1 is no series in quotes and a class"),
        (HEAD + KIND, "has no rows behind @data"),
        (HEAD + "@data\n", "expected one relational attribute of numeric ones, and the class"),
        (HEAD + "@attribute n numeric\n" + KIND + '"1,2",3,a', "expected one relational attribute"),
        (KIND.replace("@data\n", "") + HEAD + '@data\na,"1,2"', "and the class behind it"),
    ],
)
def test_what_is_no_such_file_is_one_line(tmp_path, content, message):
    (tmp_path / "a.arff").write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        read_labelled(tmp_path / "a.arff")
    assert "\n" not in str(caught.value)
