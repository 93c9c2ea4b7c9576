"""Windows and labels against plain loops over the series."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from tspcrep.common.errors import UserError
from tspcrep.common.samplers import as_batch
from tsrep.datasets.windows import WindowDataset, Windows, targets, windows


def ramp(*shape):
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def loop_windows(values, length, stride):
    found, start = [], 0
    while start + length <= len(values):
        found.append(values[start : start + length])
        start += stride
    return np.stack(found)


@given(
    steps=st.integers(1, 40),
    channels=st.integers(1, 4),
    length=st.integers(1, 40),
    stride=st.integers(1, 9),
)
def test_windows_equal_a_loop_and_share_memory(steps, channels, length, stride):
    values = ramp(steps, channels)
    if length > steps:
        with pytest.raises(UserError, match=f"{length} steps does not fit into {steps} rows"):
            windows(values, length, stride)
        return
    found = windows(values, length, stride)
    assert np.shares_memory(found, values)
    np.testing.assert_array_equal(found, loop_windows(values, length, stride))


@given(
    steps=st.integers(2, 40),
    horizon=st.integers(1, 12),
    first=st.integers(-1, 40),
    step=st.integers(1, 5),
    count=st.integers(1, 20),
)
def test_targets_equal_a_loop_and_share_memory(steps, horizon, first, step, count):
    values = ramp(steps, 3)
    ends = range(first, first + step * count, step)
    if ends[-1] + horizon >= steps:
        with pytest.raises(ValueError, match="leave the series"):
            targets(values, ends, horizon)
        return
    found = targets(values, ends, horizon)
    assert np.shares_memory(found, values)
    assert found.shape == (count, horizon, 3)
    for label, end in zip(found, ends, strict=True):
        np.testing.assert_array_equal(label, values[end + 1 : end + 1 + horizon])
    as_slice = targets(values, slice(first, first + step * count, step), horizon)
    np.testing.assert_array_equal(as_slice, found)


def test_targets_refuse_positions_that_no_view_can_hold():
    with pytest.raises(ValueError, match="expected a rising range or slice"):
        targets(ramp(20, 1), np.array([3, 9, 4]), 2)
    with pytest.raises(ValueError, match="expected a rising range or slice"):
        targets(ramp(20, 1), range(9, 3, -1), 2)


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 25), st.integers(1, 3)),
    length=st.integers(1, 8),
    stride=st.integers(1, 4),
    first=st.integers(0, 10),
    missing=st.floats(0, 1),
    seed=st.integers(0, 999),
)
def test_dataset_equals_a_loop(shape, length, stride, first, missing, seed):
    random = np.random.default_rng(seed)
    values = ramp(*shape)
    values[random.random(shape[:2]) < missing] = np.nan
    rows = slice(first, max(first, shape[1] - 2))
    calendar = ramp(shape[1], 2) + 0.5
    expected, places = [], []
    for n in range(shape[0]):
        for start in range(rows.start, min(rows.stop, shape[1]) - length + 1, stride):
            window = values[n, start : start + length]
            if not np.isnan(window).all():
                expected.append(np.concatenate([window, calendar[start : start + length]], axis=1))
                places.append((n, start))
    if not expected:
        with pytest.raises(UserError, match=r"does not fit|hold no number"):
            WindowDataset(values, length, stride, rows=rows, calendar=calendar)
        return
    dataset = WindowDataset(values, length, stride, rows=rows, calendar=calendar)
    assert len(dataset) == len(expected)
    assert dataset.channels == shape[2] + 2
    order = random.permutation(len(dataset))
    batch = dataset.__getitems__(order.tolist())
    np.testing.assert_array_equal(batch.values, np.stack(expected)[order])
    np.testing.assert_array_equal(batch.index, order)
    np.testing.assert_array_equal(np.stack(dataset.locate(batch.index), 1), np.array(places)[order])


def test_one_item_is_a_row_of_the_batch():
    dataset = WindowDataset(ramp(2, 10, 3), 4)
    values, index = dataset[9]
    assert index.item() == 9
    np.testing.assert_array_equal(values, ramp(2, 10, 3)[1, 2:6])
    torch.testing.assert_close(dataset[-1].values, dataset[13].values)
    assert dataset[-1].index.item() == 13
    with pytest.raises(IndexError):
        dataset[14]


def test_windows_of_train_do_not_see_later_rows():
    values = ramp(1, 30, 2)
    train = WindowDataset(values, 5, rows=slice(0, 18))
    everything = train.__getitems__(range(len(train))).values
    assert everything.max() == values[0, 17].max()


def test_windows_without_a_number_are_dropped_partly_missing_ones_kept():
    values = np.full((1, 8, 2), np.nan, dtype=np.float32)
    values[0, 5, 1] = 7
    dataset = WindowDataset(values, 3)
    assert dataset.locate(np.arange(len(dataset)))[1].tolist() == [3, 4, 5]
    assert torch.isnan(dataset[0].values).sum() == 5


def test_a_loader_makes_batches_on_request_and_in_order():
    dataset = WindowDataset(ramp(1, 20, 2), 4, calendar=ramp(20, 1))
    loader = DataLoader(dataset, batch_size=5, collate_fn=as_batch)
    batches = list(loader)
    assert all(isinstance(batch, Windows) for batch in batches)
    assert torch.cat([batch.index for batch in batches]).tolist() == list(range(17))
    assert batches[0].values.shape == (5, 4, 3)
    # Batches own their memory: writing to one leaves the series alone.
    batches[0].values.zero_()
    np.testing.assert_array_equal(dataset.values, ramp(1, 20, 2))


def test_batches_move_between_devices():
    batch = WindowDataset(ramp(1, 20, 2), 4).__getitems__([0, 3])
    moved = batch.to("meta")
    assert moved.values.device.type == moved.index.device.type == "meta"
    assert moved.values.shape == batch.values.shape


def test_read_only_and_float64_values_work():
    values = ramp(1, 10, 2).astype(np.float64)
    values.setflags(write=False)
    assert WindowDataset(values, 3)[0].values.dtype == torch.float32
    single = ramp(1, 10, 2)
    single.setflags(write=False)
    WindowDataset(single, 3)[0].values.zero_()


def test_no_calendar_channels_for_an_integer_index():
    dataset = WindowDataset(ramp(1, 10, 2), 3, calendar=np.zeros((10, 0), np.float32))
    assert dataset.channels == 2
    assert dataset[0].values.shape == (3, 2)


def test_a_pickled_dataset_is_as_small_as_its_values():
    values = ramp(1, 4000, 4)
    dataset = WindowDataset(values, 500, calendar=ramp(4000, 2))
    dataset.__getitems__([1, 2])
    assert len(pickle.dumps(dataset)) < 2 * (values.nbytes + 4000 * 16)


@pytest.mark.parametrize("arguments", [{"length": 0}, {"length": 3, "stride": 0}])
def test_lengths_and_strides_below_one_are_refused(arguments):
    with pytest.raises(UserError, match="is 0, expected at least 1 step"):
        WindowDataset(ramp(1, 10, 2), **arguments)
    with pytest.raises(UserError, match="is 0, expected at least 1 step"):
        windows(ramp(10, 2), **arguments)


def test_wrong_shapes_say_what_was_expected():
    with pytest.raises(ValueError, match=r"expected \(T, C\)"):
        windows(ramp(1, 10, 2), 3)
    with pytest.raises(ValueError, match=r"expected \(N, T, C\)"):
        WindowDataset(ramp(10, 2), 3)
    with pytest.raises(ValueError, match=r"expected \(10, K\)"):
        WindowDataset(ramp(1, 10, 2), 3, calendar=ramp(9, 2))
