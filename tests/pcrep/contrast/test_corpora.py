"""Mixed sources of scenes against loops, and scenes that are sent to other processes."""

import pickle
from collections import Counter
from functools import partial

import numpy as np
import pytest

from pcrep.cloud import keep
from pcrep.contrast.corpora import MixedScenes, PreparedCorpus
from pcrep.contrast.objective import SceneBatches
from pcrep.datasets import labelled_split, load_scenes
from pcrep.encoders.inputs import completed
from pcrep.encoders.voxelize import thin
from pcrep.evaluation.segmentation import with_few_labels, with_labels
from pcrep.preparation import PrepareConfig, prepare
from pcrep.preparation.cache import preprocessed
from pcrep.procedural.endless import Endless
from tests.tools.rooms import write_room
from tspcrep.common.errors import UserError


class Named:
    """Scenes that are their names."""

    def __init__(self, name, count):
        self.name, self.count = name, count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        assert 0 <= index < self.count
        return f"{self.name}{index}"

    def fingerprint(self):
        return self.name


def test_every_source_gives_equally_many_scenes():
    mixed = MixedScenes([Named("a", 12), Named("b", 5), Named("c", 1)], 12)
    assert len(mixed) == 36
    batch = mixed.__getitems__(range(36)).clouds
    expected = [f"a{i}" for i in range(12)] + [f"b{i % 5}" for i in range(12)] + ["c0"] * 12
    assert list(batch) == expected
    assert Counter(name[0] for name in batch) == {"a": 12, "b": 12, "c": 12}
    assert mixed.fingerprint() != MixedScenes([Named("a", 12), Named("b", 5)], 12).fingerprint()
    for corpora, size in (([], 3), ([Named("a", 1)], 0)):
        with pytest.raises(UserError, match="at least 1"):
            MixedScenes(corpora, size)


def test_a_prepared_corpus_writes_nothing_and_has_what_an_objective_needs(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = Endless("aerial", 9, seed=1)
    found = PreparedCorpus(made, 0.8, ("height", "normal"))[3]
    assert not list(tmp_path.iterdir())
    expected = thin(prepare(made[3]), 0.8)
    for name in ("coords", "segment", "objectness", "normal"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    local = found.coords - made[3].coords.min(0)
    assert len(np.unique(np.floor(local / np.float32(0.4)), axis=0)) == len(found)
    ground = made[3].label[_rows(made[3], found)] == 0
    assert abs(np.median(found.height[ground])) < 0.3
    assert np.quantile(found.height[~ground], 0.9) > 2


def _rows(cloud, part):
    place = {row.tobytes(): i for i, row in enumerate(cloud.coords)}
    return [place[row.tobytes()] for row in part.coords]


def test_scenes_of_every_kind_can_be_sent_to_another_process(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for index, part in enumerate(("learn", "test", "unlabelled")):
        write_room(tmp_path / "rooms" / part / f"{index}.npz", index)
    scenes, split = load_scenes(tmp_path / "rooms"), labelled_split(tmp_path / "rooms")
    cached = preprocessed(scenes, prepare, PrepareConfig(), workers=1)
    cases = [
        *(scenes, scenes.subset([1]), split.unlabelled, load_scenes("procedural"), cached),
        keep(cached.map(partial(completed, names=("height",)))),
        SceneBatches(cached, 0.1).scenes,
        with_few_labels(with_labels(split.learn), 0.5, 0),
    ]
    for case in cases:
        before = case[0]
        sent = pickle.dumps(case)
        assert len(sent) < 20_000  # how to read them, not what was read
        after = pickle.loads(sent)[0]
        assert before.arrays().keys() == after.arrays().keys()
        for name, values in before.arrays().items():
            np.testing.assert_array_equal(values, after.arrays()[name])
