"""Writes what a device is to have into its repository: one signed commit for every change, never another way.

Writing the same again changes nothing, so that it may be cut off anywhere and simply be done again. The
branch only ever grows: what is on it and was not written here is put right by a commit on top.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.protocol.errors import DocumentError
from edgewright.protocol.manifest import StateManifest
from edgewright.protocol.repository import (
    DEPLOYMENTS,
    DESIRED,
    DOCUMENT_BYTES,
    MANIFEST,
    MANIFEST_BYTES,
    MOST_ENTRIES,
    POLICY,
    POLICY_BYTES,
    SIGNERS,
    SIGNERS_BYTES,
    deployment_file,
)
from edgewright.server.live.standings import NO_POLICY
from edgewright.server.repositories.bare import Bare, MissingObjectError, Reader, RepositoryError
from edgewright.server.repositories.objects import (
    FILE,
    FOLDER,
    Commit,
    Entry,
    object_id,
    parse_commit,
    parse_tree,
    render_commit,
    render_tree,
)
from edgewright.server.repositories.signing import SigningKey, SigningKeys
from edgewright.server.store import deployments, desired, suggestions

ATTRIBUTES, ATTRIBUTES_BODY = ".gitattributes", b"* -text\n"
# Files without a meaning that people added are kept; these folders and files are written here alone.
_OURS = frozenset({MANIFEST, POLICY, SIGNERS, ATTRIBUTES})
_DOCUMENT_ENDS = (".yaml", ".yml", ".json")
_COMMIT_BYTES = 64 * 1024
_TREE_BYTES = MOST_ENTRIES * 256


class AheadError(RepositoryError):
    """The repository is further than this server knows, as after a backup was put back."""

    def __init__(self, version: int) -> None:
        super().__init__(f"the repository has manifest version {version} already, with other content")
        self.version = version


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a device is to have: a manifest with its documents, and the policy suggested to it.

    `documents` maps deployment id to bytes, `names` to the name for people. `etag` and `policy_tag` are as in
    the device's standing.
    """

    version: int
    etag: str
    manifest: bytes
    documents: Mapping[str, bytes]
    policy: bytes | None = None
    policy_tag: str = NO_POLICY
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The head of `desired`, which key signs what follows it, and whether this commit is new."""

    commit: str
    signer: str
    is_new: bool


async def content_of(connection: AsyncConnection, client_id: str) -> Content | None:
    """Return what a client is to have in this transaction; None for one that never had a manifest."""
    served = await desired.served(connection, client_id)
    if served is None:
        return None
    documents = await desired.current_documents(connection, client_id)
    suggested = await suggestions.for_client(connection, client_id)
    names = await deployments.names_on(connection, client_id)
    return Content(
        version=served.version,
        etag=served.etag,
        manifest=served.body,
        documents={one.id: one.body for one in documents},
        policy=None if suggested is None else suggested.body,
        policy_tag=NO_POLICY if suggested is None else suggested.tag,
        names={deployment_id: name for name, deployment_id in names.items()},
    )


def write(
    bare: Bare,
    content: Content,
    keys: SigningKeys,
    *,
    seconds: int,
    onto: str | None = None,
    others: Mapping[str, tuple[str, str]] | None = None,
    trusting: bytes | None = None,
    taken_up: bytes | None = None,
    message: str | None = None,
) -> Written:
    """Bring `desired` to `content`, at that unix time; the branch has to be at `onto`, if that is given.

    Files without a meaning stay as the head has them, unless `others` says which there are to be: path to
    mode and id. `trusting` is the file `signers` by which devices judge what follows, if not the head's;
    without one they trust the present key, which is what they are told when they enrol. `taken_up` is the
    manifest that devices may have taken up, if not the head's.
    With a `message` there is a commit with that message even if nothing changes.

    Raises `AheadError` if the head has a version that is not older, and other content; `RepositoryError`
    for what cannot be written.
    """
    _check(content)
    bare.create()
    committing = _Committing(bare=bare, author=keys.author, seconds=seconds)
    head = bare.branch(DESIRED) if onto is None else onto
    if head is None:
        key = keys.present()
        tree = _tree(bare, _own_files(content, keys.signers), others or {})
        commit = committing.commit(tree, None, message or _message(content, Before()), key)
        bare.move(DESIRED, commit, expected=None)
        return Written(commit=commit, signer=key.fingerprint, is_new=True)
    with bare.reading() as reader:
        before = _read(reader, head)
    _check_age(content, before.manifest if taken_up is None else taken_up)
    signers = trusting or before.signers
    trusted = keys.trusted_by(signers) if signers else keys.present()
    if trusted is None:
        raise RepositoryError(
            "the repository trusts signing keys that are not here: put identity/git-signing-key (and files"
            " beside it with that beginning) back from a backup"
        )
    present = keys.present()
    kept = before.others if others is None else others
    tree = _tree(bare, _own_files(content, keys.signers), kept)
    is_signed = before.commit is not None and keys.has_signed(before.commit)
    if tree == before.tree and is_signed and trusted == present and message is None:
        return Written(commit=head, signer=present.fingerprint, is_new=False)
    commit = head
    if trusted != present:
        told = "Replace the signing key\n\nWhat follows is signed by the key that `signers` names now."
        commit = committing.commit(tree, commit, told, trusted)
    commit = committing.commit(tree, commit, message or _message(content, before), present)
    bare.move(DESIRED, commit, expected=head)
    return Written(commit=commit, signer=present.fingerprint, is_new=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What the head of `desired` has; `documents` maps deployment id to the id of a blob."""

    commit: Commit | None = None
    tree: str = ""
    manifest: bytes = b""
    signers: bytes = b""
    policy: str | None = None
    documents: Mapping[str, str] = field(default_factory=dict)
    others: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def _read(reader: Reader, head: str) -> Before:
    commit = parse_commit(reader.get(head, "commit", limit=_COMMIT_BYTES))
    entries = parse_tree(reader.get(commit.tree, "tree", limit=_TREE_BYTES))
    by_name = {entry.name: entry for entry in entries}
    documents: dict[str, str] = {}
    others: dict[str, tuple[str, str]] = {
        entry.name: (entry.mode, entry.id)
        for entry in entries
        if entry.name not in _OURS and entry.name != DEPLOYMENTS and (entry.is_file or entry.is_folder)
    }
    folder = by_name.get(DEPLOYMENTS)
    if folder is not None and folder.is_folder:
        for entry in parse_tree(reader.get(folder.id, "tree", limit=_TREE_BYTES)):
            if entry.is_file and entry.name.endswith(".yaml"):
                documents[entry.name.removesuffix(".yaml")] = entry.id
            elif entry.is_folder or (entry.is_file and not entry.name.lower().endswith(_DOCUMENT_ENDS)):
                others[f"{DEPLOYMENTS}/{entry.name}"] = (entry.mode, entry.id)
    policy = by_name.get(POLICY)
    return Before(
        commit=commit,
        tree=commit.tree,
        manifest=_file(reader, by_name.get(MANIFEST), MANIFEST_BYTES),
        signers=_file(reader, by_name.get(SIGNERS), SIGNERS_BYTES),
        policy=None if policy is None else policy.id,
        documents=documents,
        others=others,
    )


def _file(reader: Reader, entry: Entry | None, limit: int) -> bytes:
    """Return the content of a file, nothing for what is none or is gone."""
    if entry is None or not entry.is_file:
        return b""
    try:
        return reader.get(entry.id, "blob", limit=limit)
    except MissingObjectError:
        return b""


def _check(content: Content) -> None:
    """Raise `RepositoryError` for what no device would take up (docs/reference/git-repository.md)."""
    if len(content.documents) + len(_OURS) + 1 > MOST_ENTRIES:
        raise RepositoryError(
            f"{len(content.documents)} deployments are too many for a repository: at most {MOST_ENTRIES}"
            " files are allowed; remove some, or have the device use the device API"
        )
    sizes = [
        (MANIFEST, len(content.manifest), MANIFEST_BYTES),
        (POLICY, len(content.policy or b""), POLICY_BYTES),
        *((deployment_file(name), len(body), DOCUMENT_BYTES) for name, body in content.documents.items()),
    ]
    for path, size, limit in sizes:
        if size > limit:
            raise RepositoryError(
                f"{path} has {size} bytes, at most {limit} are allowed in a repository;"
                " make it smaller, or have the device use the device API"
            )


def _check_age(content: Content, manifest: bytes) -> None:
    """Raise `AheadError` where a device that took up the head would not take up `content` (spec: DS-12)."""
    if manifest in {b"", content.manifest}:
        return
    try:
        version = StateManifest.parse(manifest, source=MANIFEST).manifest_version
    except DocumentError:
        # No device took that up: what was put there by somebody else is put right.
        return
    if version >= content.version:
        raise AheadError(version)


def _own_files(content: Content, signers: bytes) -> dict[str, bytes]:
    files = {
        ATTRIBUTES: ATTRIBUTES_BODY,
        MANIFEST: content.manifest,
        SIGNERS: signers,
        **{deployment_file(name): body for name, body in content.documents.items()},
    }
    if content.policy is not None:
        files[POLICY] = content.policy
    return files


def _tree(bare: Bare, files: Mapping[str, bytes], others: Mapping[str, tuple[str, str]]) -> str:
    """Keep a tree of these files and those entries (path to mode and id); return its id."""
    entries = dict(others)
    for path, body in files.items():
        entries[path] = (FILE, bare.add("blob", body))
    return _folder(bare, entries)


def _folder(bare: Bare, entries: Mapping[str, tuple[str, str]]) -> str:
    here: list[Entry] = []
    below: dict[str, dict[str, tuple[str, str]]] = {}
    for path, (mode, name) in entries.items():
        first, slash, rest = path.partition("/")
        if slash:
            below.setdefault(first, {})[rest] = (mode, name)
        else:
            here.append(Entry(mode.lstrip("0"), first, name))
    here += [Entry(FOLDER, name, _folder(bare, inside)) for name, inside in below.items()]
    return bare.add("tree", render_tree(here))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Committing:
    """Makes signed commits in one repository, all of the same moment."""

    bare: Bare
    author: str
    seconds: int

    def commit(self, tree: str, parent: str | None, message: str, key: SigningKey) -> str:
        """Keep a commit; return its id."""
        parents = [] if parent is None else [parent]
        make = partial(
            render_commit, tree=tree, parents=parents, who=self.author, seconds=self.seconds, message=message
        )
        return self.bare.add("commit", make(signature=key.sign(make())))


def _message(content: Content, before: Before) -> str:
    """Tell people what a commit brings, with the names of what changed."""
    new = {name: object_id("blob", body) for name, body in content.documents.items()}
    added = [content.names.get(name, name) for name in new.keys() - before.documents.keys()]
    removed = [f"deployment {name}" for name in before.documents.keys() - new.keys()]
    changed = [
        content.names.get(name, name)
        for name, blob in new.items()
        if name in before.documents and before.documents[name] != blob
    ]
    policy = None if content.policy is None else object_id("blob", content.policy)
    lines = [f"Add {name}" for name in sorted(added)]
    lines += [f"Change {name}" for name in sorted(changed)]
    lines += [f"Remove {name}" for name in sorted(removed)]
    if policy != before.policy:
        lines.append("Suggest no policy" if policy is None else f"Suggest policy {content.policy_tag}")
    subject = f"Desired state {content.version}"
    if len(lines) == 1 and "\n" not in lines[0]:
        return f"{subject}: {lines[0][0].lower()}{lines[0][1:]}\n"
    return f"{subject}\n" + "".join(f"\n- {line}" for line in lines[:100])
