from pathlib import Path

import pytest

from edgewright.net.registries import Registries, RegistrySettings, load_registries
from edgewright.protocol.errors import DocumentError


def load(tmp_path: Path, text: str) -> Registries:
    file = tmp_path / "registries.yaml"
    file.write_text(text)
    return load_registries(str(file))


@pytest.mark.requirement("OP-38")
def test_settings_are_found_by_host_and_files_beside_the_file(tmp_path: Path):
    (tmp_path / "secret").write_text("pa ss\n")
    registries = load(
        tmp_path,
        """
        hosts:
          "registry.example:5000": {ca: ca.pem, username: robot, password_file: secret}
          "10.0.0.1:5000": {plain_http: true, username: a, password: b}
        """,
    )
    expected = RegistrySettings(ca=str(tmp_path / "ca.pem"), username="robot", password="pa ss")
    assert registries.settings("registry.example:5000") == expected
    assert registries.settings("10.0.0.1:5000") == RegistrySettings(
        username="a", password="b", plain_http=True
    )
    assert registries.settings("elsewhere") == RegistrySettings()


@pytest.mark.parametrize("text", ["hosts:", "hosts: {}", "---"])
def test_a_file_without_hosts_is_no_settings(tmp_path: Path, text: str):
    assert load(tmp_path, text) == Registries()


def test_no_file_is_no_settings(tmp_path: Path):
    assert load_registries(str(tmp_path / "none.yaml")) == Registries()


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("[]", "$", "expected a mapping"),
        ("hosts: []\nx: 1", "$.x", "unknown key"),
        ("hosts: [a]", "$.hosts", "expected a mapping"),
        ("hosts: {a: b}", "$.hosts[a]", "expected a mapping"),
        ("hosts: {a: {user: b}}", "$.hosts[a].user", "unknown key"),
        ("hosts: {a: {ca: 1}}", "$.hosts[a].ca", "expected text"),
        ("hosts: {a: {plain_http: 'yes'}}", "$.hosts[a].plain_http", "expected true or false"),
        ("hosts: {a: {username: b}}", "$.hosts[a]", "belong together"),
        ("hosts: {a: {password: b}}", "$.hosts[a]", "belong together"),
        ("hosts: {a: {username: b, password: c, password_file: d}}", "$.hosts[a]", "not both"),
        ("hosts: {a: {username: b, password_file: none}}", "$.hosts[a].password_file", "cannot be read"),
        ("hosts: {a: {username: b, password_file: empty}}", "$.hosts[a].password_file", "is empty"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, text: str, path: str, words: str):
    (tmp_path / "empty").touch()
    with pytest.raises(DocumentError) as caught:
        load(tmp_path, text)
    assert caught.value.source == str(tmp_path / "registries.yaml")
    assert caught.value.path == path
    assert words in str(caught.value)


def test_a_password_does_not_show():
    assert "hidden" not in repr(Registries({"a": RegistrySettings(username="u", password="hidden")}))
