"""The agent's reference names every command of people on site, and the settings that go with them."""

from pathlib import Path

import pytest

from edgewright.agent.on_site.desk import VERBS
from edgewright.agent.settings import Settings
from edgewright.protocol.errors import DocumentError

REFERENCE = Path(__file__).parents[3] / "docs" / "reference"


@pytest.mark.parametrize(
    "command",
    [
        "approvals list",
        "pause",
        "resume",
        "apply-now",
        "poll",
        "retry",
        "accept-clock",
        "page password",
        "status",
    ],
)
def test_the_reference_names_the_command(command):
    assert command in (REFERENCE / "agent.md").read_text()


@pytest.mark.parametrize("verb", VERBS)
def test_the_reference_names_what_the_socket_is_asked(verb):
    assert f"`{verb}`" in (REFERENCE / "control-socket.md").read_text()


@pytest.mark.parametrize("listen", ["127.0.0.1:8088", "localhost:8088", "[::1]:8088", "unix:/run/page.sock"])
def test_the_page_listens_on_this_machine(listen):
    text = f"page: {{listen: '{listen}'}}\n".encode()
    assert Settings.parse(text, source="agent.yaml").page.listen == listen


@pytest.mark.parametrize(
    ("listen", "told"),
    [
        ("0.0.0.0:8088", "proxy with TLS"),
        ("192.168.1.7:80", "proxy with TLS"),
        ("line-4:8088", "expected a loopback address"),
        ("127.0.0.1", "expected a loopback address"),
        ("127.0.0.1:99999", "no such port"),
        ("unix:page.sock", "expected a loopback address"),
    ],
)
def test_the_page_listens_nowhere_else(listen, told):
    with pytest.raises(DocumentError, match=told) as caught:
        Settings.parse(f"page: {{listen: '{listen}'}}\n".encode(), source="agent.yaml")
    assert caught.value.path == "$.page.listen"
