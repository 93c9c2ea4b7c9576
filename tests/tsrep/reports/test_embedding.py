"""The map of vectors: its axes are those of principal components, its page says what is drawn."""

import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.image import imread
from sklearn.decomposition import PCA

from tests.tsrep.reports.sets import labelled_set
from tspcrep.common.palette import LARGEST_PALETTE
from tsrep.encoders import DilatedConv
from tsrep.encoders.base import Encoder
from tsrep.reports import plots
from tsrep.reports.embedding import embedding_map, principal_axes


@given(st.integers(3, 30), st.integers(2, 10), st.integers(0, 99))
def test_axes_are_principal_components(count, dims, seed):
    vectors = np.random.default_rng(seed).normal(size=(count, dims)) * 2.0 ** -np.arange(dims)
    places, share = principal_axes(vectors.astype(np.float32))
    expected = PCA(2).fit(vectors)
    np.testing.assert_allclose(
        np.abs(places), np.abs(expected.transform(vectors)), rtol=1e-3, atol=1e-5
    )
    assert share == pytest.approx(expected.explained_variance_ratio_.sum(), rel=1e-4)
    moved, _ = principal_axes(vectors.astype(np.float32) + 3)
    np.testing.assert_allclose(moved, places, atol=1e-4)


@given(arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 3)), elements=st.just(2.0)))
def test_vectors_that_are_all_alike_lie_at_one_place(vectors):
    places, share = principal_axes(vectors)
    assert places.shape == (len(vectors), 2) and share == 0
    assert not places.any()


@pytest.mark.parametrize("channels", [1, 2])
def test_the_page_says_how_many_are_drawn_and_how_much_is_seen(channels):
    panel = labelled_set(channels)
    torch.manual_seed(0)
    encoder: Encoder = DilatedConv(1, 8, 4, 2).eval()
    page = embedding_map(encoder, panel, 0)
    assert f"Vectors of {len(panel.test)} test instances by class" in page
    assert "% of it trained" in page and "% of it untrained" in page


@pytest.mark.parametrize("classes", [1, 2, LARGEST_PALETTE, LARGEST_PALETTE + 1])
def test_a_point_of_each_class_has_its_colour(classes):
    labels = np.arange(classes)
    places = np.stack([np.cos(labels), np.sin(labels)], 1)
    names = [f"<b>{i}$" for i in labels]
    light, dark = (
        imread(io.BytesIO(png))
        for png in plots.embeddings({"one": places, "two": places}, labels, names)
    )
    assert light.shape == dark.shape
    seen = {tuple(colour) for colour in np.round(255 * light[light[..., 3] == 1][:, :3])}
    expected = np.round(255 * plots.class_colours(classes))
    assert all(tuple(colour) in seen for colour in expected)
