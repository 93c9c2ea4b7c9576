"""Draws of labels, and features with a head, by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier

from tests.tsrep.made_series import panel_of
from tsrep.evaluation.archive import accuracy, draw_labelled, features_of
from tsrep.features import RandomConvolutions
from tsrep.features.ridge_classifier import RidgeClassifier


@settings(deadline=None)
@given(
    counts=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    few=st.integers(1, 5),
    seed=st.integers(0, 9),
)
def test_draws(counts, few, seed):
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(len(counts)), counts))
    rows = draw_labelled(labels, few, seed)
    assert len(set(rows.tolist())) == len(rows)
    for label, count in enumerate(counts):
        assert np.sum(labels[rows] == label) == min(few, count)
    np.testing.assert_array_equal(rows, draw_labelled(labels, few, seed))
    assert set(rows) <= set(draw_labelled(labels, few + 3, seed))
    np.testing.assert_array_equal(draw_labelled(labels, None, seed), np.arange(len(labels)))


def test_seeds_draw_other_rows():
    labels = np.arange(100) % 2
    drawn = {tuple(draw_labelled(labels, 5, seed)) for seed in range(5)}
    assert len(drawn) == 5


def test_accuracy_by_hand():
    panel = panel_of()
    train, test, seconds = features_of(RandomConvolutions(84), panel)
    convolutions = RandomConvolutions(84).fit(panel.train)
    np.testing.assert_array_equal(train, convolutions.transform(panel.train))
    np.testing.assert_array_equal(test, convolutions.transform(panel.test))
    assert seconds > 0
    rows = draw_labelled(panel.train_labels, 3, 7)
    model = RidgeClassifier.fit([train[rows]], panel.train_labels[rows])
    expected = np.mean(model.predict([test]) == panel.test_labels)
    assert accuracy(RidgeClassifier, [train], [test], panel, 3, 7) == pytest.approx(expected)
    assert accuracy(RidgeClassifier, [train], [test], panel, None, 7) > 0.8


def test_a_head_of_scikit_learn_fits_in():
    class Nearest:
        def fit(self, blocks, y):
            self.model = KNeighborsClassifier(1).fit(np.hstack(blocks), y)
            return self

        def predict(self, blocks):
            return self.model.predict(np.hstack(blocks))

    panel = panel_of()
    train, test, _ = features_of(RandomConvolutions(84), panel)
    assert accuracy(Nearest(), [train, train], [test, test], panel, 5, 0) > 0.6
