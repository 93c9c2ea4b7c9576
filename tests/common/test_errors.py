"""What is said to a user is one line, whatever a file brings into it."""

import pickle
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tspcrep.common.errors import DataWarning, DivergedError, UserError

MESSAGES = [UserError, DivergedError, DataWarning]


@pytest.mark.parametrize("kind", MESSAGES)
@given(message=st.text())
def test_a_message_is_one_printable_line_that_stays_itself(kind, message):
    said = str(kind(message))
    assert said.isprintable()
    assert str(pickle.loads(pickle.dumps(kind(message)))) == said == str(kind(said))
    if message.isprintable():
        assert said == message


def test_a_line_break_is_seen():
    assert str(UserError("a\nb is \x1b[31m")) == r"a\nb is \x1b[31m"


def test_warnings_say_the_same():
    with pytest.warns(DataWarning, match=r"^column a\\nb$"):
        warnings.warn("column a\nb", DataWarning, stacklevel=1)
