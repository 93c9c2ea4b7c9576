"""Samplers: pure in (seed, epoch), resumable, and W ranks see the batches of one process."""

from collections import Counter
from itertools import chain

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tspcrep.common.samplers import EpochSampler, GroupedSampler, ReplicatedSampler


def flat(batches):
    return list(chain.from_iterable(batches))


def epoch(sampler, number, start=0):
    sampler.set_epoch(number, start)
    return list(sampler)


@settings(max_examples=50, deadline=None)
@given(
    size=st.integers(4, 60),
    batch=st.integers(1, 9),
    world=st.sampled_from([1, 2, 4]),
    seed=st.integers(0, 5),
    drop=st.booleans(),
)
def test_ranks_share_the_batches_of_one_process(size, batch, world, seed, drop):
    rest = size % (batch * world)
    if (drop and size < batch * world) or (not drop and 0 < rest < world):
        with pytest.raises(ValueError, match=r"size is \d+"):
            EpochSampler(size, batch, seed, 0, world, drop)
        return
    whole = epoch(EpochSampler(size, batch * world, seed, drop_last=drop), 3)
    parts = [epoch(EpochSampler(size, batch, seed, r, world, drop), 3) for r in range(world)]
    assert [flat(shares) for shares in zip(*parts, strict=True)] == whole
    assert all(len(p) == len(EpochSampler(size, batch, seed, 0, world, drop)) for p in parts)
    assert all(len(shares) and max(map(len, shares)) <= batch for shares in parts)
    seen = sorted(flat(whole))
    assert seen == list(range(size)) if not drop else len(set(seen)) == len(seen)


def test_order_depends_on_seed_and_epoch_alone():
    first, second = EpochSampler(50, 8, 1), EpochSampler(50, 8, 1)
    torch.manual_seed(0)
    epoch(first, 7)
    assert epoch(first, 2) == epoch(second, 2)
    assert epoch(first, 2) != epoch(first, 3)
    assert epoch(first, 2) != epoch(EpochSampler(50, 8, 2), 2)


def test_resumes_inside_an_epoch():
    sampler = EpochSampler(50, 8, 0)
    whole = epoch(sampler, 1)
    for start in range(len(whole) + 1):
        assert epoch(sampler, 1, start) == whole[start:]
        assert len(sampler) == len(whole)


def test_serves_a_data_loader():
    sampler = EpochSampler(10, 4, 0)
    loader = torch.utils.data.DataLoader(torch.arange(10), batch_sampler=sampler)
    assert [batch.tolist() for batch in loader] == epoch(sampler, 0)


def test_replicated_rows_come_as_often_as_asked():
    sampler = ReplicatedSampler([5, 20], [4, 1], 8, 0)
    count = Counter(flat(epoch(sampler, 0)))
    assert count == Counter({row: 4 if row < 5 else 1 for row in range(25)})
    assert sampler.strength == 0.5
    assert ReplicatedSampler([5], [4], 8, 0).strength == 1.0
    assert epoch(sampler, 0) != epoch(sampler, 1)


@settings(max_examples=30, deadline=None)
@given(groups=st.lists(st.integers(0, 4), min_size=4, max_size=40), seed=st.integers(0, 5))
def test_grouped_rows_come_in_runs(groups, seed):
    sampler = GroupedSampler(groups, 2, 4, seed)
    batches = epoch(sampler, 1)
    for batch in batches:
        for first, second in zip(batch[::2], batch[1::2], strict=True):
            assert groups[first] == groups[second]
    assert set(flat(batches)) == set(range(len(groups)))
    assert len(batches) == len(sampler)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: EpochSampler(0, 4, 0), "size is 0"),
        (lambda: EpochSampler(4, 0, 0), "batch_size is 0"),
        (lambda: EpochSampler(4, 2, -1), "seed is -1"),
        (lambda: EpochSampler(4, 2, 0, 2, 2), "rank is 2"),
        (lambda: EpochSampler(4, 2, 0).set_epoch(-1), "epoch is -1"),
        (lambda: EpochSampler(4, 2, 0).set_epoch(0, 3), "start is 3, expected 0 to 2"),
        (lambda: EpochSampler(9, 4, 0, 0, 2), "the last batch has 1 rows for 2 ranks"),
        (lambda: EpochSampler(3, 4, 0, drop_last=True), "size is 3, less than one batch"),
        (lambda: ReplicatedSampler([2, 3], [1], 2, 0), "repeats has 1 entries, expected 2"),
        (lambda: ReplicatedSampler([2, 3], [1, 0], 2, 0), r"repeats is \[1, 0\]"),
        (lambda: GroupedSampler([0, 1], 3, 4, 0), "per_group is 3"),
        (lambda: GroupedSampler([], 2, 4, 0), r"groups has shape \(0,\)"),
    ],
)
def test_bad_input_is_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()
