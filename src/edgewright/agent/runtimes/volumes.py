"""Snapshots of a project's named volumes, and putting them back, with links, owners and modes.

A snapshot is a directory with one tar archive a volume and, written last, `snapshot.json`: with it, it is
whole. Archives go through a container of ours that is made for it and never started; a volume is made anew
under the same name before it is filled, so nothing may use it meanwhile.

Podman hands archives out with every owner replaced by the container's user, and gives a volume made anew
another owner when it is first used. So there the volume's directory itself is read, and emptied before it is
filled, which takes an agent on the same machine that may do so, and a volume that needs no mounting.
"""

import hashlib
import json
import os
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import quote, urlencode

from edgewright.agent.runtimes import ApplyError, StorageError
from edgewright.agent.runtimes.engine import Engine
from edgewright.agent.runtimes.files import remove_tree, sync_directory, write_whole
from edgewright.agent.runtimes.upload import upload

MOUNTED_AT = "ew-volume"
TRANSFER_SECONDS = 1800.0
PIECE_BYTES = 256 * 1024
_MARKER = "snapshot.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedVolume:
    """One volume as it was: how to make it anew, and its content's archive with digest, in the snapshot."""

    name: str
    driver: str
    options: Mapping[str, str]
    labels: Mapping[str, str]
    archive: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What `snapshot.json` says; `restored`: it has served."""

    volumes: tuple[SavedVolume, ...]
    restored: bool = False


def load_snapshot(directory: str) -> Snapshot | None:
    """Load a whole snapshot; None where there is none."""
    try:
        with open(f"{directory}/{_MARKER}", "rb") as file:
            told: dict[str, Any] = json.load(file)
        volumes = tuple(SavedVolume(**volume) for volume in told["volumes"])
        return Snapshot(volumes=volumes, restored=bool(told["restored"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeKeeper:
    """Saves and restores the volumes of one project.

    `labels` are carried by all its volumes; `helper` is the name of the container archives go through, made
    of any image that is here, `image_id`.
    """

    engine: Engine
    labels: Sequence[str]
    helper: str
    image_id: str

    def save(self, directory: str) -> None:
        """Write a whole snapshot to `directory`, or nothing; what uses the volumes has been stopped."""
        remove_tree(directory)
        os.makedirs(directory, mode=0o700)
        try:
            names = sorted(volume.name for volume in self.engine.volumes(self.labels))
            volumes = [self._save(name, directory, number) for number, name in enumerate(names)]
            sync_directory(directory)
            sync_directory(os.path.dirname(directory))
            _write_marker(directory, Snapshot(volumes=tuple(volumes)))
        except BaseException:
            remove_tree(directory)
            raise

    def restore(self, directory: str, snapshot: Snapshot) -> None:
        """Put every volume back as `snapshot` has it; nothing uses them. May be killed and repeated."""
        for volume in snapshot.volumes:
            _check_archive(f"{directory}/{volume.archive}", volume)
        for volume in snapshot.volumes:
            self._restore(volume, f"{directory}/{volume.archive}")
        os.sync()  # the engine wrote them, and does not wait for the disk
        _write_marker(directory, replace(snapshot, restored=True))

    # --- one volume ---------------------------------------------------------------------------------

    def _save(self, name: str, directory: str, number: int) -> SavedVolume:
        about = self.engine.get(f"/volumes/{quote(name)}")
        archive = f"{number}.tar"
        path = f"{directory}/{archive}"
        if self.engine.info().kind == "podman":
            _pack(_directory_of(about), path)
        else:
            with self._mounted(name) as container_id, open(path, "xb") as file:
                query = urlencode({"path": f"/{MOUNTED_AT}"})
                self._patient(f"/containers/{container_id}/archive?{query}", file)
        return SavedVolume(
            name=name,
            driver=str(about.get("Driver") or "local"),
            options=about.get("Options") or {},
            labels=about.get("Labels") or {},
            archive=archive,
            digest=_synced_digest(path),
        )

    def _restore(self, volume: SavedVolume, path: str) -> None:
        made = {
            "Name": volume.name,
            "Driver": volume.driver,
            "DriverOpts": volume.options,
            "Labels": volume.labels,
        }
        self.engine.remove_container(self.helper)
        if self.engine.info().kind == "podman":
            # It sets owner and mode of the directory it unpacks into too; Docker only of what is in there.
            at = f"/{MOUNTED_AT}"
            self.engine.request("POST", "/volumes/create", content=made, accept=(200, 201))
            _empty(_directory_of(self.engine.get(f"/volumes/{quote(volume.name)}")))
        else:
            at = "/"
            self.engine.remove_volume(volume.name)
            self.engine.request("POST", "/volumes/create", content=made, accept=(200, 201))
        with self._mounted(volume.name) as container_id:
            query = urlencode({"path": at})
            target = f"/containers/{container_id}/archive?{query}"
            upload(self.engine.socket_path, target, path, timeout=TRANSFER_SECONDS)

    def _patient(self, path: str, file: Any) -> None:
        engine = self.engine.another(timeout=TRANSFER_SECONDS)
        try:
            engine.download(path, file.write)
        finally:
            engine.close()

    @contextmanager
    def _mounted(self, volume: str) -> Iterator[str]:
        """Make a container with the volume in it; it is never started, and removed afterwards."""
        self.engine.remove_container(self.helper)
        made = {
            "Image": self.image_id,
            "Cmd": ["-"],
            "HostConfig": {"Binds": [f"{volume}:/{MOUNTED_AT}:nocopy"], "NetworkMode": "none"},
        }
        path = f"/containers/create?{urlencode({'name': self.helper})}"
        answer = json.loads(self.engine.request("POST", path, content=made, accept=(200, 201)).body)
        try:
            yield str(answer["Id"])
        finally:
            self.engine.remove_container(self.helper)


def _directory_of(about: Mapping[str, Any]) -> str:
    """Return where Podman keeps a volume's content; raises ApplyError where that is not ours to reach."""
    directory = str(about["Mountpoint"])
    options = about.get("Options") or {}
    if about.get("Driver") != "local" or "device" in options or "type" in options:
        raise ApplyError(f"volume {about['Name']} is mounted from elsewhere, and Podman cannot snapshot it")
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        raise ApplyError(
            f"volume {about['Name']} has no snapshot: {directory} cannot be reached by the agent"
        )
    return directory


def _empty(directory: str) -> None:
    for name in os.listdir(directory):
        path = os.path.join(directory, name)
        if os.path.isdir(path) and not os.path.islink(path):
            remove_tree(path)
        else:
            os.unlink(path)


def _pack(source: str, path: str) -> None:
    """Write the archive of a directory, itself in it as `.`.

    It ends with its end mark: Podman hands archives to a process that reads no further, and what `tarfile`
    fills up behind it, written to a process that is gone, was now and then an error.
    """
    with tarfile.open(path, "x", format=tarfile.PAX_FORMAT) as tar:
        tar.add(source, arcname=".")
        end = tar.offset + 2 * tarfile.BLOCKSIZE
    os.truncate(path, end)


def _synced_digest(path: str) -> str:
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_archive(path: str, volume: SavedVolume) -> None:
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != volume.digest:
        raise StorageError(f"the snapshot of volume {volume.name} is damaged: {path}")


def _write_marker(directory: str, snapshot: Snapshot) -> None:
    write_whole(f"{directory}/{_MARKER}", json.dumps(asdict(snapshot), indent=1).encode())
