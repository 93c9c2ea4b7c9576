"""The order of files does not depend on the order they were found in."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pcrep.datasets.order import natural

NAMES = st.from_regex(r"[a-c]{0,2}[0-9]{0,3}[a-c]\.(npy|npz|las)", fullmatch=True)


@given(
    st.lists(NAMES, unique=True, max_size=8).flatmap(
        lambda n: st.tuples(st.just(n), st.permutations(n))
    )
)
def test_every_order_found_gives_one_order(names):
    first, second = (natural(map(Path, some)) for some in names)
    assert first == second


def test_numbers_count_as_numbers():
    names = ["scene10.npy", "scene2.npz", "scene2.npy"]
    assert [p.name for p in natural(map(Path, names))] == [
        "scene2.npy",
        "scene2.npz",
        "scene10.npy",
    ]
