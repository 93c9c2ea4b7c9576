"""Cached gradients: those of the whole batch, with the memory of one chunk."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.functional import normalize

from tests.common.toys import Pair, Rows, Toy, assert_equal_bits, settings_of, torchrun
from tspcrep.common.cached import cached_backward
from tspcrep.common.errors import UserError
from tspcrep.common.training import fit

ROWS, CHUNKS = 64, 16


def dense_loss(first, second, temperature=0.1):
    """NT-Xent of SimCLR's Eq. 1, row by row, for rows of two views."""
    z = normalize(torch.cat([first, second]), dim=-1)
    n, total = len(first), 0.0
    for i in range(2 * n):
        scores = z @ z[i] / temperature
        others = torch.cat([scores[:i], scores[i + 1 :]])
        total = total - scores[(i + n) % (2 * n)] + others.logsumexp(0)
    return total / (2 * n)


def gradients(module):
    found = {n: p.grad for n, p in module.named_parameters() if p.grad is not None}
    module.zero_grad()
    return found


@pytest.mark.parametrize("chunks", [2, 7, CHUNKS])
def test_the_gradient_is_that_of_the_whole_batch(chunks):
    method, table = Pair(), Rows(rows=ROWS).table
    whole = Pair().double()
    expected_loss = dense_loss(*map(whole.head, whole.embed(table.double(), "pair")))
    expected_loss.backward()
    losses = cached_backward(
        method,
        table.tensor_split(chunks),
        partial(method.embed, phase="pair"),
        partial(method.contrast, phase="pair"),
        torch.Tensor.backward,
    )
    expected, found = gradients(whole), gradients(method)
    assert found.keys() == expected.keys()
    largest = max(g.abs().max() for g in expected.values())
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name].double(), gradient, rtol=0, atol=1e-6 * largest)
    torch.testing.assert_close(losses["loss"].double(), expected_loss, rtol=1e-6, atol=0)


def test_a_training_in_chunks_is_the_training_without(tmp_path):
    """Same steps and logged losses; the weights differ by rounding."""
    one, many = Pair(), Pair()
    fit(one, Rows(rows=50), settings_of(batch_size=16), seed=1, folder=None)
    fit(many, Rows(rows=50), settings_of(batch_size=16, chunks=16), seed=1, folder=tmp_path)
    for name, expected in one.state_dict().items():
        torch.testing.assert_close(many.state_dict()[name], expected, rtol=1e-4, atol=1e-5)


def test_chunks_may_be_killed_and_resumed(tmp_path):
    options = settings_of(batch_size=10, chunks=3)
    unbroken, resumed = Pair(dropout=0.5), Pair(dropout=0.5)
    fit(unbroken, Rows(), options, seed=1, folder=None)
    with pytest.raises(KeyboardInterrupt):
        fit(Pair(dropout=0.5), Rows(stop_at=14), options, seed=1, folder=tmp_path)
    fit(resumed, Rows(), options, seed=1, folder=tmp_path, resume=True)
    assert_equal_bits(resumed.state_dict(), unbroken.state_dict())


def test_random_draws_are_repeated_and_statistics_count_a_chunk_once():
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.layers = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.5))
            self.old = nn.Linear(3, 8).requires_grad_(False)

        def embed(self, x):
            return self.layers(x + torch.randn_like(x)), self.old(x), torch.arange(len(x))

    def contrast(embeddings):
        query, key, ids = embeddings
        assert len(query) == 20 and ids.tolist() == [0, 1, 2, 3, 4] * 4
        return {"loss": (query @ key.T).logsumexp(1).mean() + torch.rand(())}

    chunks, one, two = Rows().table.split(5), Noisy(), Noisy()
    torch.manual_seed(3)
    embeddings = [one.embed(chunk) for chunk in chunks]  # one graph of all chunks
    expected = contrast(tuple(map(torch.cat, zip(*embeddings, strict=True))))["loss"]
    expected.backward()
    after = torch.rand(3)
    torch.manual_seed(3)
    found = cached_backward(two, chunks, two.embed, contrast, torch.Tensor.backward)["loss"]
    assert torch.equal(torch.rand(3), after)  # and what is drawn afterwards is the same
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradients(two), gradients(one))
    torch.testing.assert_close(two.state_dict(), one.state_dict())


class Held:
    """Bytes that backward passes keep, at most at one time."""

    now = most = 0

    def __init__(self, tensor):
        self.tensor, self.bytes = tensor, tensor.nbytes
        Held.now += self.bytes
        Held.most = max(Held.most, Held.now)

    def __del__(self):
        Held.now -= self.bytes


def peak(chunks):
    method, table = Pair(width=256, depth=6), Rows(rows=ROWS).table
    parameters = {p.data_ptr() for p in method.parameters()}
    Held.most = Held.now
    before = Held.now

    def keep(tensor):
        return tensor if tensor.data_ptr() in parameters else Held(tensor)

    def release(kept):
        return kept.tensor if isinstance(kept, Held) else kept

    def embed(chunk):
        with torch.autograd.graph.saved_tensors_hooks(keep, release):
            return method.embed(chunk, "pair")

    if chunks == 1:
        method.contrast(embed(table), "pair")["loss"].backward()
    else:
        contrast = partial(method.contrast, phase="pair")
        cached_backward(method, table.chunk(chunks), embed, contrast, torch.Tensor.backward)
    return Held.most - before


def test_memory_of_the_encoder_is_that_of_one_chunk():
    assert 0 < peak(CHUNKS) <= 1.01 * peak(1) / CHUNKS


def test_a_method_without_embeddings_is_refused():
    with pytest.raises(UserError, match="chunks: found 4, expected 1: Toy computes the loss"):
        fit(Toy(), Rows(), settings_of(chunks=4), seed=0, folder=None)


RANK = """
import sys
from tests.common.toys import Pair, Rows, settings_of
from tspcrep.common.training import fit

fit(Pair(), Rows(rows=50), settings_of(batch_size=8, chunks=4), seed=1, folder=sys.argv[1])
"""


@pytest.mark.distributed
def test_two_processes_in_chunks_train_as_one_does_without(tmp_path):
    one = Pair()
    fit(one, Rows(rows=50), settings_of(batch_size=16), seed=1, folder=None)
    done = torchrun(RANK, tmp_path, tmp_path / "two")
    assert done.returncode == 0, done.stderr[-3000:]
    two = torch.load(tmp_path / "two" / "checkpoint.pt", weights_only=True)["method"]
    for name, expected in one.state_dict().items():
        torch.testing.assert_close(two[name], expected, rtol=1e-4, atol=1e-5)
