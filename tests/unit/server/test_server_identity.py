"""The identity folder over the years: renewed in time, keys kept, the bundle's sequence honest."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography import x509

from edgewright.server.errors import SetupError
from edgewright.server.identity.files import Identity, create_identity, load_identity
from edgewright.server.settings import ServerSettings
from support.certificates import Authority

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SETTINGS = ServerSettings(trust_domain="example.org", hosts=("plant.test",))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    create_identity(tmp_path / "identity", SETTINGS, now=NOW)
    return tmp_path / "identity"


def load(folder: Path, days: int = 0, settings: ServerSettings = SETTINGS) -> Identity:
    return load_identity(folder, settings, now=NOW + timedelta(days=days))


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificates(path.read_bytes())[0]


def test_loading_changes_nothing_while_nothing_is_due(folder: Path) -> None:
    load(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    load(folder, days=30)
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


@pytest.mark.requirement("LC-5", "TLS-14")
def test_what_is_due_is_renewed_and_keys_and_pins_stay(folder: Path) -> None:
    old = load(folder)
    keys = [(folder / name).read_bytes() for name in ("wfm.key", "web.key")]
    serials = [certificate(folder / name).serial_number for name in ("wfm.pem", "web.pem")]
    new = load(folder, days=300)
    assert [(folder / name).read_bytes() for name in ("wfm.key", "web.key")] == keys
    renewed = [certificate(folder / name) for name in ("wfm.pem", "web.pem")]
    assert all(one.serial_number != serial for one, serial in zip(renewed, serials, strict=True))
    assert all(one.not_valid_after_utc > NOW + timedelta(days=330) for one in renewed)
    assert (new.web_pin, new.anchors, new.sequence) == (old.web_pin, old.anchors, old.sequence)


def test_other_hosts_get_another_web_certificate_under_the_same_pin(folder: Path) -> None:
    pin = load(folder).web_pin
    moved = msgspec.structs.replace(SETTINGS, hosts=("new.test", "192.0.2.7"))
    assert load(folder, settings=moved).web_pin == pin
    names = certificate(folder / "web.pem").extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert {"new.test", "192.0.2.7", "localhost"} <= {str(name.value) for name in names.value}


@pytest.mark.requirement("TB-9", "LC-8")
def test_the_sequence_grows_with_every_other_set_of_anchors(folder: Path) -> None:
    foreign = folder / "anchors" / "plant.pem"
    sequences = [load(folder).sequence]
    foreign.write_bytes(Authority.create().pem)
    sequences += [load(folder).sequence, load(folder).sequence]
    foreign.unlink()
    sequences.append(load(folder).sequence)
    assert sequences == [1, 2, 2, 3]


@pytest.mark.requirement("SVID-4")
def test_a_leaf_is_no_anchor(folder: Path) -> None:
    (folder / "anchors" / "leaf.pem").write_bytes(Authority.create().client().pem)
    with pytest.raises(SetupError, match=r"leaf\.pem"):
        load(folder)


@pytest.mark.parametrize("name", ["ca.key", "ca.pem", "wfm.pem", "web.key", "bundle.json"])
def test_a_damaged_file_is_named(folder: Path, name: str) -> None:
    load(folder)
    (folder / name).write_bytes(b"damaged")
    with pytest.raises(SetupError, match=name.replace(".", r"\.")):
        load(folder)
