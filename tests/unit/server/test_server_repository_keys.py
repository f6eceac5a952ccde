"""The keys that sign repositories: made once, replaced, and chosen by what a repository trusts."""

import subprocess
from pathlib import Path

import pytest

from edgewright.server.errors import SetupError
from edgewright.server.repositories.signing import NAME, SigningKeys


@pytest.fixture
def keys(tmp_path: Path) -> SigningKeys:
    return SigningKeys(tmp_path, "main@example.org")


@pytest.mark.requirement("GR-20")
def test_a_key_is_made_once_readable_by_its_owner_alone_and_as_ssh_keygen_knows_it(
    keys: SigningKeys, tmp_path: Path
) -> None:
    key = keys.present()
    assert SigningKeys(tmp_path, "main@example.org").present() == key
    assert key.path.stat().st_mode & 0o777 == 0o600
    shown = subprocess.run(["ssh-keygen", "-l", "-f", key.path], capture_output=True, text=True, check=True)
    assert shown.stdout.split()[:2] == ["256", key.fingerprint]
    assert keys.signers.decode() == f'main@example.org namespaces="git" {key.public}\n'


def test_a_key_that_was_put_back_readable_by_all_is_made_private_again(
    keys: SigningKeys, tmp_path: Path
) -> None:
    keys.present()
    (tmp_path / NAME).chmod(0o644)
    assert keys.present().path.stat().st_mode & 0o777 == 0o600


def test_a_replaced_key_stays_for_those_that_trust_it_alone_until_nobody_needs_it(keys: SigningKeys) -> None:
    old_signers, old = keys.signers, keys.present()
    new = keys.replace()
    assert new.fingerprint != old.fingerprint
    assert keys.present() == new
    trusted = keys.trusted_by(old_signers)
    assert trusted is not None
    assert (trusted.fingerprint, trusted.path != new.path) == (old.fingerprint, True)
    assert keys.trusted_by(keys.signers) == new
    assert keys.trusted_by(old_signers + keys.signers) == new

    keys.forget({old.fingerprint})
    assert keys.trusted_by(old_signers) is not None
    keys.forget({new.fingerprint})
    assert keys.trusted_by(old_signers) is None
    assert keys.present() == new


def test_signers_of_others_choose_no_key(keys: SigningKeys) -> None:
    keys.present()
    assert keys.trusted_by(b"somebody ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA\n\xff") is None


@pytest.mark.parametrize("content", [b"", b"no key", b"-----BEGIN OPENSSH PRIVATE KEY-----\n"])
def test_a_damaged_key_is_told_with_its_file_and_never_replaced(
    keys: SigningKeys, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(SetupError, match=f"{NAME}.*backup"):
        keys.present()
    assert (tmp_path / NAME).read_bytes() == content
