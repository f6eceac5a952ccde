"""Text that becomes HTML: whatever it says, it stays text."""

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.agent.on_site.visible import visible
from edgewright.agent.page.html import Html, element, join


class Reader(HTMLParser):
    """What a browser would find: the tags in order, their attributes, and the text between them."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


@given(st.text())
def test_any_text_stays_the_text_of_its_element(text):
    found = Reader(element("p", text))
    assert found.tags == ["p"]
    assert found.text == visible(text)


@given(st.text())
def test_any_text_stays_the_value_of_its_attribute(text):
    found = Reader(element("input", value=text))
    assert found.tags == ["input"]
    assert found.attributes == [("value", visible(text))]


def test_what_is_html_already_is_not_escaped_again():
    assert element("p", element("b", "a < b"), " & c") == "<p><b>a &lt; b</b> &amp; c</p>"


def test_children_may_be_nested_and_left_out():
    assert join(["a", None, [Html("<br/>"), ["b"]]]) == "a<br/>b"


def test_attributes_without_a_value_are_there_or_not():
    found = element("input", required=True, disabled=False, title=None, aria_label="x", class_="y")
    assert found == '<input required aria-label="x" class="y"/>'


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        pytest.param("line\nbreak", "line\nbreak", id="line breaks stay"),
        pytest.param("a\u202eb", "a\\u202eb", id="what turns the direction of writing is shown"),
        pytest.param("a\x00b\x1b[31m", "a\\x00b\\x1b[31m", id="controls are shown"),
        pytest.param("\ud800", "\\ud800", id="half a character is shown"),
        pytest.param("Größe 大 🙂", "Größe 大 🙂", id="letters of all kinds stay"),
    ],
)
def test_what_has_no_shape_is_shown(text, seen):
    assert visible(text) == seen
