"""A small filesystem of its own that loses power on demand, and fills up on demand. Needs root.

It is ext4 on a loop file, mounted so that nothing reaches the file unless somebody asks for it (`commit=600`)
and so that replacing a file by renaming is not made safe behind the writer's back (`noauto_da_alloc`). The
file as it is while mounted is therefore what a power cut leaves: what was synced, and nothing else.
"""

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

OPTIONS = "loop,commit=600,noauto_da_alloc"
SMALL_MEBIBYTES = 16


def why_not() -> str | None:
    """Return why this machine cannot have one, None when it can."""
    if os.getuid() != 0:
        return "only root may mount a filesystem"
    if not Path("/dev/loop-control").exists():
        return "this machine has no loop devices"
    return None


class CutFilesystem:
    """The filesystem in the file `image`, seen at `mounted_at` while it is mounted."""

    def __init__(self, image: Path, mounted_at: Path) -> None:
        self.image = image
        self.mounted_at = mounted_at
        self._mounted = False

    @classmethod
    def make(cls, image: Path, mounted_at: Path, *, mebibytes: int = SMALL_MEBIBYTES) -> "CutFilesystem":
        """Make an empty one in the file `image`."""
        # A new file each time: the loop device of an old one may not have let go of it yet.
        image.unlink(missing_ok=True)
        with image.open("wb") as file:
            file.truncate(mebibytes << 20)
        _run("mkfs.ext4", "-q", "-F", "-m", "0", str(image))
        return cls(image, mounted_at)

    @contextmanager
    def mounted(self) -> Iterator[None]:
        """Have it mounted meanwhile; it is not afterwards, whatever happens."""
        self.mount()
        try:
            yield
        finally:
            self.unmount()

    def mount(self) -> None:
        """Mount it."""
        self.mounted_at.mkdir(parents=True, exist_ok=True)
        _run("mount", "-t", "ext4", "-o", OPTIONS, str(self.image), str(self.mounted_at))
        self._mounted = True

    def unmount(self) -> None:
        """Unmount it if it is mounted; nobody may be using it any more."""
        if self._mounted:
            _run("umount", str(self.mounted_at))
            self._mounted = False

    def copy(self, image: Path) -> "CutFilesystem":
        """Return another one, with what is in the file now, to be seen at the same place."""
        _run("cp", "--sparse=always", "--reflink=never", str(self.image), str(image))
        return CutFilesystem(image, self.mounted_at)

    def cut_power(self) -> None:
        """Go back to what is in the file now, without what was never synced. Who wrote has been killed."""
        left = self.copy(self.image.with_suffix(".cut"))
        self.unmount()
        left.image.replace(self.image)
        self.mount()

    def fill(self) -> None:
        """Take all the room that is left, also what shows only once everything is on the disk."""
        with (self.mounted_at / "ballast").open("wb", buffering=0) as ballast:
            for _ in range(3):
                for size in (1 << 20, 1 << 16, 1 << 10, 1):
                    _write_until_full(ballast.fileno(), b"\0" * size)
                with suppress(OSError):
                    os.fsync(ballast.fileno())

    def free(self) -> None:
        """Give back what `fill` took."""
        (self.mounted_at / "ballast").unlink()


def _write_until_full(file: int, block: bytes) -> None:
    while True:
        try:
            os.write(file, block)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                return
            raise


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
