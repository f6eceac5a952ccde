"""How the way to a Git repository comes onto this device: checked as a whole, tried, installed as a whole.

Credentials come in files. Everything that is wrong with one is told by the name under which it was given,
before anybody is asked. Then the repository is asked with them, as `git` will ask it later; only then the
identity in use is replaced, in one step.
"""

import json
import os
import re
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    load_pem_private_key,
    load_ssh_private_key,
    load_ssh_public_key,
)

from edgewright.agent.enrollment import identity
from edgewright.agent.git import access as names
from edgewright.agent.git.access import AccessError, GitAccess
from edgewright.agent.git.configuration import write_git_config
from edgewright.agent.git.head import client_of
from edgewright.agent.paths import Paths
from edgewright.agent.talk.answers import RefusalError
from edgewright.agent.talk.session import API, CERTIFICATE, GIT, GIT_ACCESS, SERVER, Identity, Session
from edgewright.net.git.program import Git, GitError
from edgewright.net.git.url import HTTPS, SSH, RepositoryUrl
from edgewright.net.git.wire import ADVERTISEMENT_PATH
from edgewright.net.http import Response
from edgewright.protocol import media_types, repository, spiffe
from edgewright.protocol.errors import EdgewrightError, IdentityError

_SECRET_BYTES = 64 * 1024
_TRIAL_SECONDS = 60.0
_OK, _NOT_FOUND = 200, 404
_KEY_TYPE = re.compile(r"(?:^|\s)((?:sk-)?(?:ssh|ecdsa)-[a-z0-9@.-]+\s+[A-Za-z0-9+/]+=*)(?:\s|$)")
_PROXY = re.compile(r"http://(?:([^:@/\s]+)@)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9][A-Za-z0-9._-]*):\d{1,5}/?")


class NoRepositoryError(EdgewrightError):
    """The fleet manager has no repository for this device."""

    code = "git.no-repository"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What was said of the repository: its address, and files by the path they were given with.

    `signers` and `authority` are bytes where the fleet manager told them. What is None was not said. Of the
    ways to be let in (`username` with `password`, `token`, `certificate` with `key`, `ssh_key` with
    `known_hosts`) one at most is said.
    """

    url: str
    signers: str | bytes | None = None
    username: str | None = None
    password: str | None = None
    token: str | None = None
    certificate: str | None = None
    key: str | None = None
    ssh_key: str | None = None
    known_hosts: str | None = None
    authority: str | bytes | None = None
    proxy: str | None = None
    proxy_password: str | None = None
    minutes: float | None = None

    @property
    def says_who(self) -> bool:
        """Whether a way to be let in was said."""
        said = (self.username, self.password, self.token, self.certificate, self.key)
        return any(each is not None for each in (*said, self.ssh_key))


@dataclass(frozen=True, slots=True)
class Found:
    """What a repository answered: the commits its two branches are at, None where one is not there yet."""

    desired: str | None
    current: str | None


def enroll(
    paths: Paths,
    wish: Wish,
    *,
    device_id: str,
    client: str | None = None,
    replace: bool = False,
    offline: bool = False,
) -> Found | None:
    """Make this the device `device_id` with that repository and no API; return what it answered.

    `client` is the SPIFFE id by which its fleet manager knows it, where that was told. None is returned
    where nothing was asked (`offline`, or a repository that comes by bundles). Raises what is wrong, and
    nothing has changed then.
    """
    identity.refuse_replacing(paths, replace=replace)
    if not device_id.strip() or not device_id.isprintable():
        raise AccessError(f"--name {device_id!r}: expected a name without control characters")
    if client is not None:
        spiffe.parse_client(spiffe.SpiffeId.parse(client))
    settings = {"device_id": device_id, "transport": GIT} | ({} if client is None else {"client": client})
    files = {SERVER: _render(settings), **prepare(wish, {})}
    return _install(paths, files, told=f"enrolled with the repository {wish.url}", offline=offline)


def move(paths: Paths, transport: str, wish: Wish | None = None, *, offline: bool = False) -> Found | None:
    """Let the device talk by `transport` from now on, with the repository `wish` tells of, if it tells.

    Who the device is stays, and so does everything it has taken up. Returns and raises as `enroll` does.
    """
    files = identity.files_in_use(paths)
    if transport == API and CERTIFICATE not in files:
        raise IdentityError(
            "this device has no identity for the API of a fleet manager; "
            "'edgewright agent enroll TOKEN --replace' makes one"
        )
    if wish is not None:
        files = {name: data for name, data in files.items() if name not in names.FILES} | prepare(wish, files)
    elif transport == GIT and GIT_ACCESS not in files:
        raise AccessError("this device knows no repository; give --git URL and --signers FILE")
    files[SERVER] = _render({**json.loads(files[SERVER]), "transport": transport})
    where = (
        f"the repository {GitAccess.parse(files[GIT_ACCESS].decode(), '').url}"
        if transport == GIT
        else "the API"
    )
    return _install(paths, files, told=f"from now on by {where}", offline=offline or transport == API)


def ask_where(paths: Paths) -> Wish:
    """Return where the fleet manager says by its API that this device's repository is.

    Raises NoRepositoryError where it has none for it, and what the session raises.
    """
    session = Session(paths)
    try:
        answer = session.request("GET", media_types.REPOSITORY_PATH, headers=[("accept", media_types.JSON)])
    finally:
        session.close()
    if answer.status == _NOT_FOUND:
        raise NoRepositoryError(
            f"{session.identity.url}: {_reason(answer)}; somebody who operates it makes one with "
            f"'edgewright repository create {session.identity.device_id}', or give --git URL and "
            "--signers FILE"
        )
    if answer.status != _OK:
        raise RefusalError(answer, "the question where the repository is", time.time())
    try:
        told = json.loads(answer.body)
        authority = told.get("ca")
        return Wish(
            url=str(told["url"]),
            signers=str(told["signers"]).encode("utf-8"),
            authority=None if authority is None else str(authority).encode("utf-8"),
        )
    except (ValueError, KeyError, AttributeError) as error:
        raise NoRepositoryError(
            f"{session.identity.url}: what it says of the repository is not understood ({error!r})"
        ) from error


def _reason(answer: Response) -> str:
    """Return what the answer says for people, or what it means that the path is not known there at all."""
    try:
        return str(json.loads(answer.body)["detail"])
    except (ValueError, KeyError, TypeError):
        return "it has no Git repository for this device"


def prepare(wish: Wish, known: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the files that `wish` stands for, by name, each of them checked.

    `known` are those of the identity in use: what was not said stays, as long as the address is the same.
    Raises AccessError, IdentityError and RepositoryUrlError that name what is wrong by how it was given.
    """
    url = RepositoryUrl(wish.url)
    before = GitAccess.parse(known[GIT_ACCESS].decode(), "") if GIT_ACCESS in known else None
    if before is not None and before.url.text != url.text:
        before = None  # no credential is shown to another server than the one it was given for
    files: dict[str, bytes] = {}
    proxy = _proxy(wish, url, known, before, files)
    kind, username = _who(wish, url, known, before, files)
    if wish.authority is not None:
        files[names.AUTHORITY] = _read(wish.authority)
        identity.check_authority(files[names.AUTHORITY], _source(wish.authority))
    elif before is not None:
        _keep(files, known, names.AUTHORITY)
    if wish.signers is not None:
        files[names.SIGNERS] = _signers(wish.signers)
    else:
        _keep(files, known, names.SIGNERS)
    if names.SIGNERS not in files:
        raise AccessError(
            "--signers FILE is missing: whose commits are to be believed (docs/how-to/use-git.md)"
        )
    minutes = (
        wish.minutes if wish.minutes is not None else before.minutes if before else names.DEFAULT_MINUTES
    )
    made = GitAccess("", url=url, kind=kind, username=username, proxy=proxy, minutes=minutes)
    return {GIT_ACCESS: made.render(), **files}


def try_access(access: GitAccess) -> Found:
    """Ask the repository as it will be asked later, for reading and for writing; nothing is changed there.

    Raises GitError that says what to do about it, without anything secret.
    """
    with tempfile.TemporaryDirectory(prefix="trial-", dir=os.path.dirname(access.directory)) as scratch:
        config = os.path.join(scratch, "config")
        write_git_config(access, config)
        git = Git(os.path.join(scratch, "trial.git"), config=config, seconds=_TRIAL_SECONDS)
        try:
            git.make()
            refs = _refs(git.run("ls-remote", "--", access.url.text, "refs/heads/*"))
            found = Found(refs.get(repository.DESIRED), refs.get(repository.CURRENT))
        except GitError as error:
            raise _explained(access, error, "it cannot be read") from error
        try:
            _try_to_write(git, access)
        except GitError as error:
            raise _explained(access, error, "it can be read, but not written to") from error
    return found


def _try_to_write(git: Git, access: GitAccess) -> None:
    """Do all that a push does except for the push."""
    probe = git.write_commit({"adopted.json": b"{}"}, parent=None, message="Probe")
    try:
        git.run("push", "--dry-run", "--", access.url.text, f"{probe}:{repository.CURRENT}")
    except GitError as error:
        if error.code != "git.raced":  # what is there already is built upon later
            raise


def _explained(access: GitAccess, error: GitError, what: str) -> GitError:
    text = access.redact(_in_better_words(access, error))
    hint = _hint(access, error.code)
    return GitError(
        f"{access.url}: {what}: {text}"
        + (f"\n  {hint}" if hint else "")
        + "\n  nothing was changed on this device",
        code=error.code,
        retryable=error.retryable,
    )


def _in_better_words(access: GitAccess, error: GitError) -> str:
    """Return what is wrong; of a certificate `git` often says no more than that it does not count."""
    if error.code == "git.wrong-server" and access.url.scheme == HTTPS:
        client = client_of(access)
        try:
            client.request("GET", ADVERTISEMENT_PATH)
        except EdgewrightError as better:
            return str(better)
        finally:
            client.close()
    return str(error)


def _hint(access: GitAccess, code: str) -> str:
    """Return what a person can do about it."""
    if code == "git.denied":
        return {
            names.OPEN: "it wants to know who asks: give --username with --password-file, --token-file, "
            "--certificate with --key, or --ssh-key with --known-hosts",
            names.BASIC: f"the user name {access.username!r} or the password is not the one it knows, "
            "or may not do this",
            names.BEARER: "the token is not one it knows, has expired, or may not do this",
            names.BY_CERTIFICATE: "the certificate is not one it lets in",
            names.BY_SSH_KEY: "the server does not know the public half of this key, or it may not do this",
        }[access.kind]
    if code == "git.wrong-server":
        if access.url.scheme == SSH:
            return "compare the line of this server in the file that --known-hosts names with its host key"
        return "where its certificate is of an authority of your own, give --ca FILE with that authority"
    if code == "git.unreachable":
        return "where this device is to have its repository later, --offline leaves out this check"
    return ""


def _refs(listed: bytes) -> dict[str, str]:
    lines = (line.partition("\t") for line in listed.decode("utf-8", "replace").splitlines())
    return {ref: commit for commit, _, ref in lines}


def _install(paths: Paths, files: Mapping[str, bytes], *, told: str, offline: bool) -> Found | None:
    found: list[Found] = []

    def trial(directory: str) -> None:
        Identity(directory)  # raises unless it is whole
        access = GitAccess.load(directory)
        if access is not None and not offline and not access.is_offline:
            found.append(try_access(access))

    identity.install_files(paths, files, told=told, replace=True, trial=trial)
    return found[0] if found else None


def _who(
    wish: Wish,
    url: RepositoryUrl,
    known: Mapping[str, bytes],
    before: GitAccess | None,
    files: dict[str, bytes],
) -> tuple[str, str]:
    """Return by what the device is let in, and its user name; what that needs is added to `files`."""
    if not wish.says_who and wish.known_hosts is None and before is not None:
        for name in (
            names.PASSWORD,
            names.TOKEN,
            names.CLIENT_CERTIFICATE,
            names.CLIENT_KEY,
            names.SSH_KEY,
            names.KNOWN_HOSTS,
        ):
            _keep(files, known, name)
        return before.kind, before.username
    said = [
        option
        for option, value in (
            ("--password-file", wish.password if wish.password is not None else wish.username),
            ("--token-file", wish.token),
            ("--certificate", wish.certificate if wish.certificate is not None else wish.key),
            ("--ssh-key", wish.ssh_key),
        )
        if value is not None
    ]
    if len(said) > 1:
        raise AccessError(f"{' and '.join(said)}: one way to be let in is enough")
    if url.scheme == SSH:
        return _by_ssh(wish, known, before, files), ""
    if wish.ssh_key is not None or wish.known_hosts is not None:
        raise AccessError(f"--ssh-key and --known-hosts are for addresses of ssh, and {url} is none")
    if said and url.scheme != HTTPS:
        raise AccessError(f"{said[0]}: {url} is on this device and lets in who may read its files")
    if said == ["--password-file"]:
        return names.BASIC, _basic(wish, before, files)
    if said == ["--token-file"]:
        assert wish.token is not None  # noqa: S101 - it was said
        files[names.TOKEN] = _secret(wish.token, blanks=False)
        return names.BEARER, ""
    if said == ["--certificate"]:
        if wish.certificate is None or wish.key is None:
            raise AccessError("--certificate FILE and --key FILE go together")
        certificate, key = _read(wish.certificate), _read(wish.key)
        identity.check_certificate(certificate, key, source=wish.certificate, key=wish.key, now=time.time())
        files[names.CLIENT_CERTIFICATE], files[names.CLIENT_KEY] = certificate, key
        return names.BY_CERTIFICATE, ""
    # Nothing was said: who has an SVID shows that, as the fleet manager's own repositories want it.
    return (names.BY_CERTIFICATE if url.scheme == HTTPS and CERTIFICATE in known else names.OPEN), ""


def _basic(wish: Wish, before: GitAccess | None, files: dict[str, bytes]) -> str:
    username = wish.username or (before.username if before is not None else "")
    if not username or wish.password is None:
        raise AccessError("--username NAME and --password-file FILE go together")
    if ":" in username or not username.isprintable():
        raise AccessError(f"--username {username!r}: no ':' and no control characters")
    files[names.PASSWORD] = _secret(wish.password)
    return username


def _by_ssh(wish: Wish, known: Mapping[str, bytes], before: GitAccess | None, files: dict[str, bytes]) -> str:
    others = (wish.username, wish.password, wish.token, wish.certificate, wish.key, wish.authority)
    if any(each is not None for each in others):
        raise AccessError(
            "over ssh a device is let in by --ssh-key alone, and knows the server by --known-hosts; "
            "the user is part of the address: user@host:path"
        )
    if wish.ssh_key is not None:
        files[names.SSH_KEY] = _ssh_key(wish.ssh_key)
    elif before is not None:
        _keep(files, known, names.SSH_KEY)
    if wish.known_hosts is not None:
        files[names.KNOWN_HOSTS] = _known_hosts(wish.known_hosts)
    elif before is not None:
        _keep(files, known, names.KNOWN_HOSTS)
    missing = [
        option
        for option, name in (("--ssh-key FILE", names.SSH_KEY), ("--known-hosts FILE", names.KNOWN_HOSTS))
        if name not in files
    ]
    if missing:
        raise AccessError(f"{wish.url}: over ssh {' and '.join(missing)} must be given as well")
    return names.BY_SSH_KEY


def _proxy(
    wish: Wish,
    url: RepositoryUrl,
    known: Mapping[str, bytes],
    before: GitAccess | None,
    files: dict[str, bytes],
) -> str:
    if wish.proxy is None and wish.proxy_password is None and before is not None:
        _keep(files, known, names.PROXY_PASSWORD)
        return before.proxy
    proxy = wish.proxy if wish.proxy is not None else before.proxy if before is not None else ""
    if not proxy:
        if wish.proxy_password is not None:
            raise AccessError("--proxy-password-file goes with --proxy http://user@host:port")
        return ""
    if url.scheme != HTTPS:
        raise AccessError(f"--proxy: {url} is not reached by https, and only that goes through a proxy")
    match = _PROXY.fullmatch(proxy)
    if proxy.startswith("https://"):
        raise AccessError(
            "--proxy: a proxy that itself is spoken to by TLS is not used; give its http:// port. What goes"
            " through it is encrypted for the Git server in any case, its password is not"
        )
    if match is None:
        shown = re.sub(r"//[^/]*@", "//…@", proxy)
        raise AccessError(
            f"--proxy {shown!r}: expected http://[user@]host:port, the password in --proxy-password-file"
        )
    if (match[1] is None) != (wish.proxy_password is None):
        raise AccessError("--proxy http://user@host:port and --proxy-password-file FILE go together")
    if wish.proxy_password is not None:
        files[names.PROXY_PASSWORD] = _secret(wish.proxy_password)
    return proxy.rstrip("/")


def _signers(given: str | bytes) -> bytes:
    data, path = _read(given), _source(given)
    if len(data) > repository.SIGNERS_BYTES:
        raise AccessError(f"{path}: larger than {repository.SIGNERS_BYTES} bytes")
    try:
        lines = [line.strip() for line in data.decode("utf-8").splitlines()]
    except ValueError:
        raise AccessError(f"{path}: it is not text; expected lines like {_LINE}") from None
    listed = [(at, line) for at, line in enumerate(lines, 1) if line and not line.startswith("#")]
    if not listed:
        raise AccessError(f"{path}: it names nobody; expected lines like {_LINE}")
    for at, line in listed:
        match = _KEY_TYPE.search(line)
        if match is None or not line[: match.start(1)].strip():
            hint = " (there is no principal before the key)" if match is not None else ""
            raise AccessError(f"{path}: line {at}: expected {_LINE}{hint}")
        if "cert-authority" in line[: match.start(1)]:
            raise AccessError(
                f"{path}: line {at}: certificates of SSH are not used; name the keys themselves"
            )
        _check_public_key(match[1], f"{path}: line {at}")
    return data


_LINE = "'NAME namespaces=\"git\" ssh-ed25519 AAAA…' (ssh-keygen(1), ALLOWED SIGNERS)"


def _check_public_key(text: str, source: str) -> None:
    if text.startswith("sk-"):
        return  # the key of a token, whose form is ssh-keygen's to know
    try:
        load_ssh_public_key(text.encode("ascii"))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise AccessError(f"{source}: this is no public key: {error}") from None


def _known_hosts(path: str) -> bytes:
    data = _read(path)
    lines = (line.strip() for line in data.decode("utf-8", "replace").splitlines())
    if not any(_KEY_TYPE.search(line) for line in lines if not line.startswith("#")):
        raise AccessError(
            f"{path}: no host key in it; expected lines of known_hosts, as ssh-keyscan writes them"
        )
    return data if data.endswith(b"\n") else data + b"\n"


def _ssh_key(path: str) -> bytes:
    data = _read(path)
    load = load_ssh_private_key if b"BEGIN OPENSSH" in data else load_pem_private_key
    try:
        load(data, None)
    except TypeError:
        raise AccessError(f"{path}: the key has a passphrase; a device has to read it alone") from None
    except (ValueError, UnsupportedAlgorithm) as error:
        if "encrypted" in str(error).lower() or "password" in str(error).lower():
            raise AccessError(f"{path}: the key has a passphrase; a device has to read it alone") from None
        what = "this is the public half; " if data.startswith((b"ssh-", b"ecdsa-")) else ""
        raise AccessError(f"{path}: {what}expected a private key of ssh") from None
    return data if data.endswith(b"\n") else data + b"\n"


def _secret(path: str, *, blanks: bool = True) -> bytes:
    data = _read(path)
    if len(data) > _SECRET_BYTES:
        raise AccessError(f"{path}: larger than {_SECRET_BYTES} bytes")
    try:
        text = data.decode("utf-8").rstrip("\r\n")
    except ValueError:
        raise AccessError(f"{path}: it is not UTF-8 text") from None
    if not text:
        raise AccessError(f"{path}: it is empty")
    if any(char < " " or char == "\x7f" for char in text):
        raise AccessError(f"{path}: expected one line, and no control characters")
    if not blanks and not re.fullmatch(r"[\x21-\x7e]+", text):
        raise AccessError(f"{path}: a token has no blanks and nothing beyond ASCII")
    return text.encode("utf-8")


def _keep(files: dict[str, bytes], known: Mapping[str, bytes], name: str) -> None:
    if name in known:
        files[name] = known[name]


def _source(given: str | bytes) -> str:
    return given if isinstance(given, str) else "what the fleet manager told"


def _read(given: str | bytes) -> bytes:
    if isinstance(given, bytes):
        return given
    try:
        with Path(given).open("rb") as file:
            return file.read(1024 * 1024 + 1)
    except OSError as error:
        raise AccessError(f"{given}: {error.strerror}") from None


def _render(settings: Mapping[str, object]) -> bytes:
    return json.dumps(settings, indent=2).encode("utf-8") + b"\n"
