"""tools/classify.py against the classifier itself, a ridge by hand, and counts."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

from tests.tools.running import contents, is_one_line
from tsrep.sklearn import ContrastiveClassifier

pytestmark = pytest.mark.filterwarnings("ignore::tspcrep.common.errors.DataWarning")
STEPS = 60


def walks(rows, seed):
    """Sines and squares with noise, twice as many sines, as a table with one row a series."""
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 6, (rows, 1))
    waves = np.sin(np.arange(STEPS) / 5 + phase)
    square = np.arange(rows) % 3 == 0
    waves[square] = np.sign(waves[square])
    values = 20 + 3 * (waves + 0.3 * rng.normal(size=waves.shape))
    frame = pd.DataFrame(values, columns=[f"t{i}" for i in range(STEPS)])
    return frame.assign(kind=np.where(square, "square", "sine"))


@pytest.fixture
def folder(tmp_path):
    walks(60, 0).to_csv(tmp_path / "walks.csv", index=False)
    walks(9, 1).to_csv(tmp_path / "new.csv", index=False)
    return tmp_path


def classify(tool, folder, *options):
    return tool("classify", "--data", folder / "walks.csv", "--label", "kind", *options)


def scores(stdout):
    lines = stdout.splitlines()
    return {line[:28].strip(): line[28:] for line in lines[1:] if line[:28].strip()}


def halves(frame):
    """Values and classes of the train and test rows that a set without split has."""
    rng, train = np.random.default_rng(0), np.zeros(len(frame), dtype=bool)
    for name in ("sine", "square"):
        rows = rng.permutation(np.flatnonzero(frame["kind"] == name))
        train[rows[: round(0.7 * len(rows))]] = True
    values, labels = frame.drop(columns="kind").to_numpy(), frame["kind"].to_numpy()
    return (values[train], labels[train]), (values[~train], labels[~train])


def test_accuracies_beside_their_controls(tool, folder):
    status, stdout, stderr = classify(tool, folder, "--seeds", 0, 1)
    assert status == 0, stderr
    assert stdout.splitlines()[0] == "walks: accuracy on 18 series, learnt from 42"
    found = scores(stdout)
    (X, y), (X_test, y_test) = halves(pd.read_csv(folder / "walks.csv"))
    mean, deviation = X.mean(), X.std()
    X, X_test = ((v - mean) / deviation for v in (X, X_test))
    rows = {
        "encoder and convolutions": "both",
        "encoder alone": "encoder",
        "random convolutions alone": "random",
    }
    for name, features in rows.items():
        each = [
            (ContrastiveClassifier(features, random_state=s).fit(X, y).predict(X_test) == y_test)
            for s in (0, 1)
        ]
        assert float(found[name].split()[0]) == pytest.approx(np.mean(each), abs=6e-4)
    assert found["most frequent class"] == f"{np.mean(y_test == 'sine'):.3f}"
    sign = np.where(y == "sine", 1.0, -1.0)
    x, shift = X - X.mean(0), X.mean(0)
    scale = x.std(0) * np.sqrt(STEPS)
    ridges = [
        Ridge(a * len(x)).fit(x / scale, sign).predict((X_test - shift) / scale)
        for a in np.logspace(-7, -2, 11)
    ]
    by_hand = {f"{np.mean(np.where(p > 0, 'sine', 'square') == y_test):.3f}" for p in ridges}
    assert found["ridge on raw values"] in by_hand


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_classes_of_new_series(tool, folder, suffix):
    output = folder / f"classes.{suffix}"
    new = ("--new", folder / "new.csv", "--output", output)
    status, stdout, stderr = classify(tool, folder, *new, "--seeds", 3, "--features", "random")
    assert status == 0, stderr
    assert stdout.splitlines()[-1] == str(output)
    found = pd.read_csv(output) if suffix == "csv" else pd.read_parquet(output)
    assert list(found) == ["id", "class", "p_sine", "p_square"]
    assert found["id"].to_list() == list(range(1, 10))
    (X, y), (more, classes) = halves(pd.read_csv(folder / "walks.csv"))
    mean, deviation = X.mean(), X.std()
    X, y = np.concatenate([X, more]), np.concatenate([y, classes])
    model = ContrastiveClassifier("random", random_state=3).fit((X - mean) / deviation, y)
    table = pd.read_csv(folder / "new.csv")
    chances = model.predict_proba((table.drop(columns="kind").to_numpy() - mean) / deviation)
    np.testing.assert_allclose(found[["p_sine", "p_square"]], chances, atol=1e-4)
    assert (found["class"] == table["kind"]).mean() > 0.7


@pytest.mark.parametrize("ids", [range(100, 109), [f"s{i}" for i in range(9)]])
def test_few_labels_and_ids(tool, folder, ids):
    """Numbers that name the series are no step of theirs."""
    table = pd.read_csv(folder / "new.csv").drop(columns="kind")
    table.insert(0, "id", list(ids))
    table.to_csv(folder / "new.csv", index=False)
    output = folder / "classes.csv"
    options = ("--per-class", 2, "--new", folder / "new.csv", "--output", output)
    status, stdout, stderr = classify(tool, folder, *options)
    assert status == 0, stderr
    assert "learnt from 4" in stdout and " ± " in scores(stdout)["ridge on raw values"]
    found = pd.read_csv(output)
    assert found["id"].to_list() == list(ids)
    table.drop(columns="id").to_csv(folder / "new.csv", index=False)
    assert classify(tool, folder, *options)[0] == 0
    pd.testing.assert_frame_equal(pd.read_csv(output).drop(columns="id"), found.drop(columns="id"))


def test_a_named_set(tool):
    pytest.importorskip("sktime", reason="sktime, which holds the set, is not installed")
    status, stdout, stderr = tool("classify", "--data", "GunPoint", "--seeds", 0)
    assert status == 0, stderr
    assert "GunPoint: accuracy on 150 series, learnt from 50" in stdout
    found = scores(stdout)
    assert found["most frequent class"] == "0.493"  # 26 of 50 are of class 2, then 74 of 150
    assert float(found["encoder and convolutions"]) > 0.95


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--new", "new.csv"], ["--new and --output belong together"]),
        (["--output", "x.csv"], ["--new and --output belong together"]),
        (["--new", "new.csv", "--output", "x.txt"], [".csv or .parquet"]),
        (["--new", "no.csv", "--output", "x.csv"], ["no.csv does not exist"]),
        (["--new", "long.csv", "--output", "x.csv"], ["2 channels", "2 steps of 1,"]),
        (["--new", "words.csv", "--output", "x.csv"], ["words.csv", "no column of numbers"]),
        (["--per-class", "0"], ["--per-class", "at least 1"]),
        (["--seeds", "1", "1"], ["seeds"]),
        (["--encoder", "nothing"], ["nothing"]),
        (["--label", "sort"], ["no column 'sort'"]),
        (["--new", "huge.csv", "--output", "x.csv"], ["huge.csv", "far too large"]),
        (["--data", "same.csv"], ["same", "one class"]),
        (["--data", "short.csv"], ["short", "one step"]),
    ],
)
def test_what_cannot_be_classified(tool, folder, monkeypatch, options, words):
    hours = pd.date_range("2024-01-01", periods=20, freq="h")
    long = {"id": "a", "time": hours, "u": np.arange(20.0), "v": 1.0}
    pd.concat([pd.DataFrame({**long, "id": i}) for i in "ab"]).to_csv(
        folder / "long.csv", index=False
    )
    pd.DataFrame({"kind": ["sine"], "note": ["none"]}).to_csv(folder / "words.csv", index=False)
    table = walks(9, 1)
    table.assign(kind="sine").to_csv(folder / "same.csv", index=False)
    table[["t0", "kind"]].to_csv(folder / "short.csv", index=False)
    table.assign(t3=1e300).to_csv(folder / "huge.csv", index=False)
    monkeypatch.chdir(folder)
    before = contents(folder)
    status, stdout, stderr = classify(tool, folder, *options)
    assert stdout == ""
    is_one_line(status, stderr, "classify.py: ", *words)
    assert contents(folder) == before
