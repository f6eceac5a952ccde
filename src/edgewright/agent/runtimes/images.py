"""The images of ours on an engine: which content a name stands for, keeping it, and letting go of it.

Every image a fetched component needs carries one more name, the keep tag, so that neither a tag that moves
nor a clean-up of nameless images takes it. What we pulled ourselves is listed in a file, for only that may be
removed again; the list is written before a pull, so that a kill in the middle of one forgets nothing.
"""

import hashlib
import json
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

from edgewright.agent.runtimes.engine import Engine, Image, registry_of
from edgewright.agent.runtimes.files import write_whole

KEEP_REPOSITORY = "edgewright.local/kept"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """What an image's name stood for when it was fetched.

    `id` is the engine's identity of it, `digest` a reference by digest it can be pulled by again, "" where
    the engine knows of none: then it did not come from a registry.
    """

    id: str
    digest: str = ""


@dataclass(slots=True)
class _Pulled:
    """The list's content: `pulled` maps image id to the names it was pulled by, `pulling` the names of pulls
    that may be half-way to the ids of all images there were before."""

    pulled: dict[str, list[str]] = field(default_factory=dict)
    pulling: dict[str, list[str]] = field(default_factory=dict)


class ImageKeeper:
    """Keeps and releases images of one owner on one engine; `path` is the list of what was pulled."""

    def __init__(self, engine: Engine, *, path: str, owner: str) -> None:
        self._engine = engine
        self._path = path
        self._repository = f"{KEEP_REPOSITORY}/{hashlib.sha256(owner.encode()).hexdigest()[:12]}"

    def keep(self, image_id: str) -> None:
        """Give an image our keep tag."""
        image = self._engine.image(image_id)
        if image is not None and self._keep_name(image_id) not in image.tags:
            self._engine.tag_image(image_id, self._repository, _tag(image_id))

    def is_kept(self, image: Image) -> bool:
        """Tell whether an image has our keep tag."""
        return self._keep_name(image.id) in image.tags

    @contextmanager
    def pulling(self, reference: str) -> Iterator[None]:
        """Take note of what a pull of `reference`, done inside, brings that was not here before."""
        listed = self._load()
        listed.pulling[reference] = self._engine.image_ids()
        self._save(listed)
        try:
            yield
        finally:
            self._settle(listed)

    def release(self, needed: Collection[str]) -> None:
        """Let go of every image whose id is not in `needed`; those we pulled are removed with it.

        An image that a container is made from, whoever's it is, waits for the next time.
        """
        listed = self._load()
        users = self._engine.users_of_images()
        kept = {image.id: image for image in map(self._engine.image, self._engine.image_ids()) if image}
        for image in kept.values():
            ours = image.id in listed.pulled
            if image.id in needed or image.id in users or not (ours or self.is_kept(image)):
                continue
            self._let_go(image, listed.pulled.pop(image.id, []))
        listed.pulled = {known: names for known, names in listed.pulled.items() if known in kept}
        self._save(listed)

    def _let_go(self, image: Image, pulled_by: list[str]) -> None:
        """Take our names from `image`, the keep tag last: with the last of all names the image goes."""
        repositories = {repository_of(name) for name in pulled_by}
        ours = [name for name in image.tags if name in map(normalized, pulled_by) or name in pulled_by]
        ours += [name for name in image.digests if repository_of(name) in repositories]
        keep = self._keep_name(image.id)
        if not pulled_by and set(image.tags) == {keep}:
            return  # somebody else's, and without our tag it would be lost
        for name in ours:
            self._engine.remove_image(name)
        if keep in image.tags:
            self._engine.remove_image(keep)
        left = self._engine.image(image.id) if pulled_by else None
        if left is not None and not left.tags:
            self._engine.remove_image(image.id)

    def _keep_name(self, image_id: str) -> str:
        return f"{self._repository}:{_tag(image_id)}"

    # --- the list -----------------------------------------------------------------------------------

    def _load(self) -> _Pulled:
        """Load the list, with what a killed pull had brought; a damaged one is as good as none."""
        try:
            with open(self._path, "rb") as file:
                listed = _Pulled(**json.load(file))
        except (OSError, ValueError, TypeError):
            return _Pulled()
        if listed.pulling:
            self._settle(listed)
        return listed

    def _settle(self, listed: _Pulled) -> None:
        """Move what pulls have brought to the list of what was pulled."""
        for reference, before in listed.pulling.items():
            found = self._engine.image_id(reference)
            if found is None or (found in before and found not in listed.pulled):
                continue
            names = listed.pulled.setdefault(found, [])
            if reference not in names:
                names.append(reference)
        listed.pulling = {}
        self._save(listed)

    def _save(self, listed: _Pulled) -> None:
        os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
        write_whole(self._path, json.dumps(asdict(listed), indent=1).encode())


def pin_of(reference: str, image: Image) -> Pin:
    """Return what `reference` stands for, seeing that it names `image` on this device now."""
    if "@" in reference:
        return Pin(id=image.id, digest=reference)
    repository = repository_of(reference)
    found = [digest for digest in image.digests if repository_of(digest) == repository]
    return Pin(id=image.id, digest=found[0] if found else "")


def pinned_name(pin: Pin, engine: Engine) -> str | None:
    """Return a name that stands for exactly the pinned content on this device now; None if it is not here.

    The name with the digest, for people read it, unless somebody took it from the image.
    """
    if pin.digest and engine.image_id(pin.digest) == pin.id:
        return pin.digest
    return pin.id if engine.image_id(pin.id) == pin.id else None


def repository_of(reference: str) -> str:
    """Return the full repository of an image reference: host and path, without tag or digest."""
    name = reference.partition("@")[0]
    if ":" in name.rpartition("/")[2]:
        name = name.rpartition(":")[0]
    host = registry_of(name)
    path = name.removeprefix(f"{host}/").removeprefix("index.docker.io/")
    return f"{host}/library/{path}" if host == "docker.io" and "/" not in path else f"{host}/{path}"


def normalized(reference: str) -> str:
    """Return a reference with its host and tag written out, as Podman lists it."""
    tag = reference.partition("@")[0].rpartition("/")[2].partition(":")[2] or "latest"
    return f"{repository_of(reference)}:{tag}"


def _tag(image_id: str) -> str:
    return image_id.removeprefix("sha256:")
