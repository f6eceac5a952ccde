"""What package authors wrote, and what a page makes of it: readable, and without harm."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.protocol.constraints import DeviceConstraints
from edgewright.protocol.conversion import convert
from edgewright.server.catalogue.resources import PDF, SVG, TEXT, UNKNOWN, media_type_of
from edgewright.server.web.markdown import render
from edgewright.server.web.requirements import in_words

PIECES = [
    "# ",
    "###### ",
    "[a](",
    "javascript:alert(1)",
    "data:text/html,x",
    "https://example.org/",
    '"onclick="x',
    ")",
    "![b](",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "&lt;",
    "`",
    "```\n",
    "\n\n",
    "| a | b |\n|--:|---|\n| 1 | 2 |\n",
    "> ",
    "- ",
    "**",
    "[r]: javascript:x\n",
    "<javascript:alert(1)>",
]


def rendered(text: str) -> str:
    return str(render(text, lambda source: "/icon.svg" if source == "icon.svg" else None))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# One\n\n## Two", "<h3>One</h3>\n<h4>Two</h4>\n"),
        ("### Deep\n\n# High", "<h3>Deep</h3>\n<h3>High</h3>\n"),
        ("# One\n\n###### Six", "<h3>One</h3>\n<h4>Six</h4>\n"),
        ("![our icon](icon.svg)", '<p><img src="/icon.svg" alt="our icon" loading="lazy"></p>\n'),
        ("![theirs](http://x.test/y.png)", '<p><span class="quiet">[theirs]</span></p>\n'),
        (
            "[web](https://example.org/?a=1&b=2)",
            '<p><a href="https://example.org/?a=1&amp;b=2" rel="noopener noreferrer nofollow">web</a></p>\n',
        ),
        ("[here](docs/more.md)", "<p><a>here</a></p>\n"),
        ("<b>bold</b>", "<p>&lt;b&gt;bold&lt;/b&gt;</p>\n"),
    ],
)
def test_markdown_becomes_html_below_the_headings_of_the_page(text: str, expected: str) -> None:
    assert rendered(text) == expected


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=8), max_size=12).map("".join))
def test_nothing_in_a_text_becomes_more_than_text_and_links_to_the_web(text: str) -> None:
    found = rendered(text)
    for tag in re.findall(r"<[^>]*>", found):
        assert not re.search(r"<\s*(script|style|iframe|object|embed|form|input|base|meta|link)\b", tag), tag
        assert not re.search(r"\s(on\w+|style)\s*=", re.sub(r'"[^"]*"', '""', tag)), tag
    for address in re.findall(r'(?:href|src)="([^"]*)"', found):
        assert address.startswith(("https://", "http://", "mailto:", "/icon.svg")), address


@pytest.mark.parametrize(
    ("path", "data", "expected"),
    [
        ("a.png", b"\x89PNG\r\n\x1a\nx", "image/png"),
        ("a.txt", b"\x89PNG\r\n\x1a\nx", "image/png"),
        ("a.png", b"<html>", UNKNOWN),
        ("a.svg", b'<?xml version="1.0"?><svg/>', SVG),
        ("a.svg", b"<html>", UNKNOWN),
        ("a.md", b"# text", TEXT),
        ("LICENSE", b"text", TEXT),
        ("a.txt", b"\xff\xfe", UNKNOWN),
        ("a.txt", b"a\0b", UNKNOWN),
        ("a.pdf", b"%PDF-1.7", PDF),
        ("a.html", b"<html>", UNKNOWN),
        ("a.webp", b"RIFF0000WEBP", "image/webp"),
        ("a", b"", TEXT),
    ],
)
def test_a_file_is_what_its_bytes_and_its_name_agree_on(path: str, data: bytes, expected: str) -> None:
    assert media_type_of(path, data) == expected


@pytest.mark.requirement("MAT-4", "MAT-6")
def test_what_a_profile_asks_for_is_said_in_words() -> None:
    constraints = convert(
        {
            "capacityRequirements": {
                "cpu": {"cores": 1.5, "architectures": ["amd64", "arm64"]},
                "memory": "512Mi",
                "storage": "2Gi",
            },
            "eligibilityRules": [
                {
                    "propertySelector": {
                        "matchExpressions": [
                            {"key": "/vendor", "operator": "NotIn", "values": ["Acme"]},
                            {
                                "key": "/peripherals",
                                "operator": "ContainsAll",
                                "itemSelector": {
                                    "matchExpressions": [
                                        {"key": "/type", "operator": "In", "values": ["gpu"]},
                                        {"key": "/model", "operator": "Exists"},
                                    ]
                                },
                            },
                        ]
                    }
                },
                {
                    "labelSelector": {
                        "matchExpressions": [
                            {"key": "site", "operator": "In", "values": ["berlin", "bonn"]},
                            {"key": "line", "operator": "Gt", "values": [3]},
                        ]
                    }
                },
            ],
        },
        DeviceConstraints,
        source="constraints",
    )
    assert in_words(constraints) == [
        "a CPU with at least 1.5 cores (amd64 or arm64)",
        "at least 512 MiB memory",
        "at least 2 GiB storage",
        "one of these: the property vendor is there and not Acme and one of the property peripherals has:"
        " its type is gpu and its model is there; or the label site is one of berlin, bonn and the label line"
        " is more than 3",
    ]
    assert in_words(None) == []
