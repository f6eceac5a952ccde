"""Where a device finds its repository, and where its files are here."""

from pathlib import Path

from edgewright.server.errors import ConflictError
from edgewright.server.store.repositories import Kind, Repository

NO_LISTENER = (
    "no repository is hosted here, as nothing listens for Git: say 'git_listen: 0.0.0.0:9443' (any free port)"
    " in server.yaml and start the server anew"
)


def bare_of(folder: Path, client_id: str) -> Path:
    """Return the bare repository of a client below the data directory's `repositories`."""
    return folder / f"{client_id}.git"


def url_of(repository: Repository, git_url: str | None) -> str | None:
    """Return by which URL a device reaches its repository; None for a hosted one that nothing serves."""
    if repository.kind == Kind.EXTERNAL:
        return repository.url
    return None if git_url is None else hosted_url(git_url, repository.client_id)


def hosted_url(git_url: str | None, client_id: str) -> str:
    """Return the URL of a repository hosted here; raises `ConflictError` where nothing serves one."""
    if git_url is None:
        raise ConflictError(NO_LISTENER)
    return f"{git_url}/{client_id}.git"
