"""A few damaged files for every reader; ``make fuzz`` has more."""

import pytest

from tests.fuzz.runner import damaged, failures
from tests.fuzz.targets import targets

INPUTS = range(24)


@pytest.mark.parametrize("name", targets())
def test_a_damaged_file_is_read_or_refused_in_one_line(name):
    assert failures(name, INPUTS) == {}


def test_there_are_enough_targets():
    assert len(targets()) >= 25


def test_an_input_is_made_again_by_its_number():
    valid = bytes(range(256)) * 4
    first = [damaged("bin", valid, number) for number in INPUTS]
    assert first == [damaged("bin", valid, number) for number in INPUTS]
    assert len(set(first)) > len(INPUTS) / 2 and valid not in first
