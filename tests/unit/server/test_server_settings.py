"""`server.yaml`: what it may say, and how a mistake in it is told."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.server.errors import SetupError
from edgewright.server.settings import (
    DataDirectory,
    Listen,
    ServerSettings,
    check_settings,
    load_settings,
    render_settings,
    url_of,
    write_private,
)

SETTINGS = ServerSettings(trust_domain="example.org", hosts=("plant.test",))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.0.0.0:443", Listen("0.0.0.0", 443)),
        ("[::1]:8443", Listen("::1", 8443)),
        (":80", Listen("0.0.0.0", 80)),
        ("localhost:0", Listen("localhost", 0)),
    ],
)
def test_listen_addresses(text: str, expected: Listen) -> None:
    assert Listen.parse(text) == expected
    assert Listen.parse(str(expected)) == expected


@pytest.mark.parametrize(
    "text", ["", "443", "host", "host:", "host:x", "host:65536", "::1:80", "host:-1", "a:\uff11"]
)
def test_listen_addresses_that_are_none(text: str) -> None:
    with pytest.raises(SetupError, match="listen address"):
        Listen.parse(text)


@pytest.mark.parametrize(
    ("host", "port", "expected"),
    [
        ("plant.test", 443, "https://plant.test"),
        ("plant.test", 8443, "https://plant.test:8443"),
        ("::1", 443, "https://[::1]"),
    ],
)
def test_urls(host: str, port: int, expected: str) -> None:
    assert url_of(host, port) == expected


@pytest.mark.requirement("ID-3", "ID-10")
@pytest.mark.parametrize(
    "wrong",
    [
        {"trust_domain": ""},
        {"trust_domain": "Upper"},
        {"trust_domain": "a/b"},
        {"wfm_id": ""},
        {"wfm_id": "."},
        {"wfm_id": "a~b"},
        {"hosts": ()},
        {"hosts": ("a b",)},
        {"hosts": ("plant.test:443",)},
        {"hosts": ("-plant.test",)},
        {"device_listen": "x"},
        {"web_url": "http://plant.test"},
        {"web_url": "https://plant.test/path"},
    ],
)
def test_settings_nobody_can_use(wrong: dict[str, object]) -> None:
    with pytest.raises(SetupError):
        check_settings(msgspec.structs.replace(SETTINGS, **wrong))


@given(
    settings=st.builds(
        ServerSettings,
        trust_domain=st.just("example.org"),
        wfm_id=st.sampled_from(["main", "1e3", "yes", "0x1"]),
        hosts=st.lists(st.sampled_from(["plant.test", "192.0.2.1", "::1"]), min_size=1).map(tuple),
        device_url=st.sampled_from([None, "https://plant.test"]),
    )
)
def test_what_is_written_is_read_again(
    settings: ServerSettings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = DataDirectory(tmp_path_factory.mktemp("data"))
    write_private(directory.settings, render_settings(settings))
    assert load_settings(directory) == settings


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("trust_domain: example.org\n", "hosts"),
        ("trust_domain: 7\nhosts: [a]\n", "trust_domain"),
        ("a: [\n", "server.yaml"),
        ("trust_domain: example.org\nhosts: [a]\ncolour: red\n", "colour"),
        ("trust_domain: Example\nhosts: [a]\n", "trust domain 'Example'"),
    ],
)
def test_a_mistake_is_told_with_the_file(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "server.yaml").write_text(text)
    with pytest.raises(Exception, match=r"server\.yaml") as error:
        load_settings(DataDirectory(tmp_path))
    assert told in str(error.value)


@pytest.mark.requirement("S-22")
def test_repositories_are_found_from_any_folder_also_where_the_data_directory_is_given_relative():
    assert DataDirectory(Path("data")).repositories == Path.cwd() / "data" / "repositories"
