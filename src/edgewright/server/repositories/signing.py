"""The keys that sign what this server writes into repositories: Ed25519, in OpenSSH's form.

    identity/git-signing-key             what signs now; made when it is needed first
    identity/git-signing-key-<id>        a key before it, kept as long as a repository knows only that one
    identity/git-signing-key.new         what a replacement left that was cut off

A repository says in its file `signers` who may sign what follows; the key of the next commit is chosen by
that. Nothing here is asked which repositories there are.
"""

import base64
import binascii
from collections.abc import Collection
from dataclasses import dataclass, field
from hashlib import sha256, sha512
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from edgewright.protocol.repository import NAMESPACE
from edgewright.server.errors import SetupError
from edgewright.server.repositories.objects import Commit
from edgewright.server.settings import write_private

NAME = "git-signing-key"

_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
_MAGIC, _VERSION = b"SSHSIG", (1).to_bytes(4, "big")


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A key with its file; `public` is `<type> <key>` and `fingerprint` as ssh-keygen shows it."""

    path: Path
    public: str
    fingerprint: str
    _private: Ed25519PrivateKey = field(repr=False, compare=False)

    @property
    def blob(self) -> bytes:
        """The public key as signatures have it."""
        return base64.b64decode(self.public.split()[1])

    def sign(self, payload: bytes) -> str:
        """Return an armoured signature as Git puts it into commits (OpenSSH's PROTOCOL.sshsig)."""
        raw = self._private.sign(_signed(payload))
        signature = (
            _MAGIC
            + _VERSION
            + _strings(self.blob, NAMESPACE.encode(), b"", b"sha512", _strings(b"ssh-ed25519", raw))
        )
        text = base64.b64encode(signature).decode("ascii")
        lines = [text[at : at + 70] for at in range(0, len(text), 70)]
        return "\n".join([_BEGIN, *lines, _END])

    def has_signed(self, payload: bytes, signature: str | None) -> bool:
        """Whether this key made that armoured signature of `payload`, in the way it makes its own."""
        if signature is None:
            return False
        lines = signature.strip().splitlines()
        if len(lines) < 3 or (lines[0], lines[-1]) != (_BEGIN, _END):
            return False
        head = _MAGIC + _VERSION + _strings(self.blob, NAMESPACE.encode(), b"", b"sha512")
        try:
            shown = base64.b64decode("".join(lines[1:-1]), validate=True)
        except binascii.Error:
            return False
        prefix = (
            head + (4 + 11 + 4 + 64).to_bytes(4, "big") + _strings(b"ssh-ed25519") + (64).to_bytes(4, "big")
        )
        if len(shown) != len(prefix) + 64 or not shown.startswith(prefix):
            return False
        try:
            self._private.public_key().verify(shown[-64:], _signed(payload))
        except InvalidSignature:
            return False
        return True

    def signers(self, principal: str) -> bytes:
        """Return the file that trusts this key and no other (ssh-keygen(1), ALLOWED SIGNERS)."""
        return f'{principal} namespaces="{NAMESPACE}" {self.public}\n'.encode()


class SigningKeys:
    """The keys in one `identity/` folder; `principal` is under which name they sign."""

    def __init__(self, folder: Path, principal: str) -> None:
        self._folder = folder
        self._principal = principal

    @property
    def author(self) -> str:
        """Whom commits name as their author."""
        return f"Edgewright <{self._principal}>"

    @property
    def signers(self) -> bytes:
        """What tells devices to trust the present key."""
        return self.present().signers(self._principal)

    def present(self) -> SigningKey:
        """Return the key that signs now, made if there is none; raises `SetupError` for a damaged one."""
        path = self._folder / NAME
        if not path.exists():
            write_private(path, _new_key())
        return _load(path)

    def known(self) -> list[SigningKey]:
        """Return all keys there are, the present one first."""
        return [self.present(), *map(_load, sorted(self._folder.glob(f"{NAME}-*")))]

    def trusted_by(self, signers: bytes) -> SigningKey | None:
        """Return a key that a file `signers` trusts, the present one if it can be; None if none is."""
        trusted = {
            word for line in signers.decode("utf-8", errors="replace").splitlines() for word in line.split()
        }
        for key in self.known():
            if key.public.split()[1] in trusted:
                return key
        return None

    def replace(self) -> SigningKey:
        """Have a new key sign from now on, and keep the old one for the commits that tell of the new one."""
        old = self.present()
        kept = self._folder / f"{NAME}-{_file_id(old)}"
        if not kept.exists():
            write_private(kept, old.path.read_bytes())
        write_private(old.path, _new_key())
        return _load(old.path)

    def has_signed(self, commit: Commit) -> bool:
        """Whether a commit was signed here."""
        return any(key.has_signed(commit.payload, commit.signature) for key in self.known())

    def forget(self, needed: Collection[str]) -> None:
        """Delete the keys before the present one whose fingerprint is not `needed`."""
        for path in self._folder.glob(f"{NAME}-*"):
            if _load(path).fingerprint not in needed:
                path.unlink(missing_ok=True)


def principal_of(trust_domain: str, wfm_id: str) -> str:
    """Return under which name a fleet manager signs; it has the form of a mail address and is none."""
    return f"{wfm_id}@{trust_domain}"


def _new_key() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())


def _load(path: Path) -> SigningKey:
    try:
        # A copy put back from a backup may be readable by all, and ssh-keygen refuses such a key.
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
        key = load_ssh_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise SetupError(f"{path}: {error.strerror}; put the file back from a backup") from error
    except Exception as error:
        raise SetupError(
            f"{path}: no private key in OpenSSH's form; put the file back from a backup"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SetupError(f"{path}: expected an Ed25519 key; put the file back from a backup")
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode("ascii")
    blob = base64.b64decode(public.split()[1])
    digest = base64.b64encode(sha256(blob).digest()).decode("ascii").rstrip("=")
    return SigningKey(path=path, public=public, fingerprint=f"SHA256:{digest}", _private=key)


def _file_id(key: SigningKey) -> str:
    return sha256(key.fingerprint.encode()).hexdigest()[:16]


def _signed(payload: bytes) -> bytes:
    """Return what a signature is really made over."""
    return _MAGIC + _strings(NAMESPACE.encode(), b"", b"sha512", sha512(payload).digest())


def _strings(*values: bytes) -> bytes:
    """Return byte strings as SSH writes them, each behind its length."""
    return b"".join(len(value).to_bytes(4, "big") + value for value in values)
