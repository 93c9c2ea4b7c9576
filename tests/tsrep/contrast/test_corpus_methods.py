"""The methods that learn from a corpus: crops, self-distillation, masked patches."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tspcrep.common.errors import UserError
from tspcrep.common.training import Training, fit
from tsrep.contrast.corpus import CorpusConfig, random_crop, random_order
from tsrep.contrast.crops import CropContrast
from tsrep.contrast.distillation import SelfDistillation
from tsrep.contrast.masked import MaskedPatches
from tsrep.datasets.corpora import CorpusBatches
from tsrep.datasets.synthetic import SyntheticCorpus
from tsrep.datasets.windows import Windows
from tsrep.encoders import DilatedConv, PatchTransformer

METHODS = [CropContrast, SelfDistillation, MaskedPatches]
TINY = {"dim": 8, "depth": 1, "heads": 2, "tokens": 8, "patch_steps": 4, "filters": 3}


def method_of(cls, seed=0, strength=1.0, **config):
    torch.manual_seed(seed)
    config = CorpusConfig(**({"width": 6, "prototypes": 12} | config))
    return cls(PatchTransformer(1, **TINY), config, strength)


def batch_of(size=6, steps=40, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Windows(torch.randn(size, steps, 1, generator=generator), torch.arange(size))


# --- Views --------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(
    steps=st.integers(1, 60),
    shares=st.tuples(st.floats(0, 0.99), st.floats(0, 0.99)).map(sorted),
    seed=st.integers(0, 999),
)
def test_a_crop_is_one_piece_of_the_length_it_should_have(steps, shares, seed):
    torch.manual_seed(seed)
    x = torch.arange(steps, dtype=torch.float32).expand(20, steps)[..., None]
    least, most = shares
    for row in random_crop(x, most, least)[..., 0]:
        kept = row[~row.isnan()]
        assert torch.equal(kept, torch.arange(kept[0], kept[-1] + 1))
        assert max(1, (1 - most) * steps) - 1e-3 <= len(kept) <= (1 - least) * steps + 1


def test_crops_are_everywhere_and_of_every_length():
    torch.manual_seed(0)
    known = ~random_crop(torch.zeros(4000, 100, 1), 0.5).isnan()[..., 0]
    first, count = known.float().argmax(1), known.sum(1)
    assert first.min() == 0 and (first + count).max() == 100
    assert torch.histc(count.float(), 5, 50.5, 100).min() > 700  # evenly
    middle = (first / (100 - count).clamp_min(1)).mean()  # from 0 at the left end to 1
    assert abs(middle - 0.5) < 0.03


def test_orders_of_patches_are_permutations_and_differ():
    torch.manual_seed(0)
    order = random_order(50, 7, torch.device("cpu"))
    assert torch.equal(order.sort(1).values, torch.arange(7).expand(50, 7))
    assert len({tuple(row) for row in order.tolist()}) > 40


# --- Losses -------------------------------------------------------------------------------------


def test_the_contrast_of_crops_is_nt_xent_by_loops():
    method = method_of(CropContrast, temperature=0.3)
    first, second = np.random.default_rng(0).standard_normal((2, 5, 6))
    rows = np.vstack([first, second])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    expected = []
    for i in range(10):
        scores = {j: rows[i] @ rows[j] / 0.3 for j in range(10) if j != i}
        expected.append(np.log(sum(np.exp(s) for s in scores.values())) - scores[(i + 5) % 10])
    found = method.contrast((torch.from_numpy(first), torch.from_numpy(second)), "encoder")
    np.testing.assert_allclose(float(found["loss"]), np.mean(expected), atol=1e-9)


@pytest.mark.parametrize("masked", [0.0, 0.5, 0.99])
def test_views_of_crops_read_the_share_of_patches_that_is_shown(masked, monkeypatch):
    method, seen = method_of(CropContrast, masked=masked), []
    attend = method.encoder.attend
    monkeypatch.setattr(method.encoder, "attend", lambda t: seen.append(t.shape[1]) or attend(t))
    first, second = method.embed(batch_of(), "encoder")
    assert seen == [{0.0: 8, 0.5: 4, 0.99: 1}[masked]] * 2
    assert first.shape == (6, 6) and not torch.allclose(first, second)


def test_crops_of_any_encoder():
    torch.manual_seed(0)
    method = CropContrast(DilatedConv(1, 5, 4, 1, causal=False), CorpusConfig(cut=0.0))
    first, second = method.embed(batch_of(), "encoder")
    torch.testing.assert_close(first, second)  # nothing is cut, and there is nothing to mask
    expected = method.head(method.encoder(batch_of().values).amax(1))
    torch.testing.assert_close(first, expected)


def test_a_weaker_augmentation_cuts_less():
    torch.manual_seed(0)
    crops = method_of(CropContrast, strength=0.5, cut=0.4)
    assert crops.cut == 0.2 and method_of(MaskedPatches, strength=0.5, cut=0.4).cut == 0.2


def test_masked_patches_equal_a_loop():
    """The smooth distance at hidden patches, the student without them, the teacher with them."""
    method = method_of(MaskedPatches, masked=0.25, cut=0.0)
    with torch.no_grad():  # a student that has left its teacher
        for p in method.encoder.parameters():
            p.add_(0.1 * torch.randn_like(p))
    batch = batch_of()
    torch.manual_seed(3)
    found = float(method.loss(batch, "encoder")["loss"].detach())
    torch.manual_seed(3)
    random_crop(batch.values, 0.0)
    hidden = random_order(6, 8, torch.device("cpu")) < 2
    distances = []
    with torch.no_grad():
        tokens = method.encoder.tokenise(method.encoder.grid(batch.values))
        told = method.teacher.encoder.encoder
        targets = told.attend(told.tokenise(told.grid(batch.values)))
        for b in range(6):
            shown = tokens[b].clone()
            for n in hidden[b].nonzero()[:, 0]:
                shown[n] = method.hidden + method.encoder.positions[n]
            predicted = method.predictor(method.encoder.attend(shown[None]))[0]
            for n in hidden[b].nonzero()[:, 0]:
                target = targets[b, n]
                target = (target - target.mean()) / (target.var(unbiased=False) + 1e-5).sqrt()
                error = (predicted[n] - target).abs()
                distances.append(torch.where(error < 1, error**2 / 2, error - 0.5).mean())
    assert len(distances) == 12
    np.testing.assert_allclose(found, float(torch.stack(distances).mean()), rtol=1e-5)


def test_distillation_equals_loops():
    """Each of four views is compared with the teacher's targets for the other large crop."""
    method = method_of(SelfDistillation, cut=0.3, small=2).eval()
    with torch.no_grad():
        method.dino.centre.normal_(std=0.1)
        for p in method.student.parameters():
            p.add_(0.1 * torch.randn_like(p))
    x = batch_of().values
    torch.manual_seed(5)
    found = float(method.loss(batch_of(), "encoder")["loss"].detach())
    torch.manual_seed(5)
    views = [random_crop(x, 0.3), random_crop(x, 0.3)]
    views += [random_crop(x, 0.9, 0.6), random_crop(x, 0.9, 0.6)]
    losses = []
    with torch.no_grad():
        for t in range(2):
            target = ((method.teacher(views[t]) - method.dino.centre) / 0.04).softmax(-1)
            for v in range(4):
                if v != t:
                    logs = (method.student(views[v]) / 0.1).log_softmax(-1)
                    losses.append(-(target * logs).sum(-1).mean())
    np.testing.assert_allclose(found, float(torch.stack(losses).mean()), rtol=1e-5)


def test_masked_patches_need_patches():
    with pytest.raises(UserError, match="found a DilatedConv, expected a patch_transformer"):
        MaskedPatches(DilatedConv(1, 5, 4, 1))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"cut": 1.0}, "cut: found 1.0"),
        ({"masked": -0.1}, "masked: found -0.1"),
        ({"temperature": 0.0}, "temperature: found 0.0"),
        ({"small": -1}, "small: found -1"),
    ],
)
def test_bad_settings_are_one_line(config, words):
    with pytest.raises(UserError, match=words):
        CorpusConfig(**config)


# --- Training -----------------------------------------------------------------------------------


class Stopped(Exception):
    pass


@pytest.mark.parametrize("cls", METHODS)
def test_a_training_that_stops_goes_on_to_the_same_bits(cls, tmp_path, monkeypatch):
    data = CorpusBatches([SyntheticCorpus(40, 32)], [1])
    training = Training(epochs=2, max_steps=6, batch_size=8, checkpoint_every=2, device="cpu")
    whole = method_of(cls)
    before = copy.deepcopy(whole.encoder.state_dict())
    fit(whole, data, training, 0, None)
    assert any(not torch.equal(t, before[n]) for n, t in whole.encoder.state_dict().items())

    stopping, steps = method_of(cls), []
    after_step = stopping.after_step

    def stop():
        after_step()
        steps.append(0)
        if len(steps) == 5:
            raise Stopped

    monkeypatch.setattr(stopping, "after_step", stop)
    with pytest.raises(Stopped):
        fit(stopping, data, training, 0, tmp_path)
    resumed = method_of(cls, seed=1)
    fit(resumed, data, training, 0, tmp_path, resume=True)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], tensor), name


@pytest.mark.parametrize("cls", [CropContrast, MaskedPatches])
def test_the_loss_falls(cls):
    """That of distillation need not: its targets sharpen as the teacher learns."""
    data = CorpusBatches([SyntheticCorpus(64, 32)], [1])
    method = method_of(cls, learning_rate=1e-2)
    batch = data.__getitems__(range(64))

    def loss():
        torch.manual_seed(0)
        with torch.no_grad():
            return float(method.loss(batch, "encoder")["loss"])

    before = loss()
    fit(method, data, Training(epochs=25, batch_size=32, device="cpu"), 0, None)
    assert loss() < 0.9 * before
