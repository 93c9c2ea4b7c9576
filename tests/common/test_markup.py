"""Text of users is text on a page, whatever it holds."""

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from tspcrep.common.markup import Html, join, tag
from tspcrep.common.pages import named, page, table

TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=30)
HOSTILE = st.sampled_from(
    ["<script>alert(1)</script>", '" onload="x', "a & b", "</td><td>", "_x", "&lt;", "'", "$x$"]
)


class Read(HTMLParser):
    """The tags of a page, and its text outside style and script."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.texts = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.texts.append(data)


@given(TEXT | HOSTILE, TEXT | HOSTILE)
def test_an_element_holds_what_was_given(content, attribute):
    read = Read(tag("p", content, title=attribute))
    assert read.tags == ["p"] and read.attributes == [("title", attribute)]
    assert "".join(read.texts) == content


@given(st.lists(TEXT | HOSTILE, min_size=2, max_size=4))
def test_names_make_no_markup_in_a_table_or_a_title(names):
    drawn = page(names[0], [table(names, [[named(name, name), *names[1:]] for name in names])])
    plain = page(
        "a",
        [
            table(
                ["b"] * len(names),
                [[named("c", "d" if n else ""), *"e" * (len(names) - 1)] for n in names],
            )
        ],
    )
    read = Read(drawn)
    assert read.tags == Read(plain).tags
    joined = "".join(read.texts)
    assert all(name in joined for name in names)


def test_pieces_that_are_markup_are_kept():
    assert join(Html("<b>"), "<b>") == "<b>&lt;b&gt;"
    assert tag("input", value=3, hidden=True, class_=None) == '<input value="3" hidden>'
