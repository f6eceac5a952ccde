"""Names of images: what they stand for, and what `up` reads in their place."""

import json

import pytest

from edgewright.agent.runtimes.compose_project import pinned_document
from edgewright.agent.runtimes.engine import Image
from edgewright.agent.runtimes.images import Pin, normalized, pin_of, repository_of

ID = f"sha256:{'1' * 64}"
DIGEST = f"sha256:{'2' * 64}"


@pytest.mark.parametrize(
    ("reference", "repository", "name"),
    [
        ("nginx", "docker.io/library/nginx", "docker.io/library/nginx:latest"),
        ("nginx:1.2", "docker.io/library/nginx", "docker.io/library/nginx:1.2"),
        ("docker.io/library/nginx:1", "docker.io/library/nginx", "docker.io/library/nginx:1"),
        ("acme/web", "docker.io/acme/web", "docker.io/acme/web:latest"),
        ("registry.example/web:1", "registry.example/web", "registry.example/web:1"),
        ("registry.example:5000/a/web", "registry.example:5000/a/web", "registry.example:5000/a/web:latest"),
        ("localhost:5000/web:1", "localhost:5000/web", "localhost:5000/web:1"),
        (f"registry.example/web:1@{DIGEST}", "registry.example/web", "registry.example/web:1"),
    ],
)
def test_a_reference_is_written_out(reference: str, repository: str, name: str):
    assert repository_of(reference) == repository
    assert normalized(reference) == name


@pytest.mark.parametrize(
    ("reference", "digests", "digest"),
    [
        pytest.param("nginx:1", (f"nginx@{DIGEST}",), f"nginx@{DIGEST}", id="as Docker tells"),
        pytest.param(
            "nginx:1",
            (f"docker.io/library/nginx@{DIGEST}",),
            f"docker.io/library/nginx@{DIGEST}",
            id="as Podman tells",
        ),
        pytest.param(
            "registry.example/a:1",
            (f"mirror.example/a@{DIGEST}", f"registry.example/a@{DIGEST}"),
            f"registry.example/a@{DIGEST}",
            id="of its own registry",
        ),
        pytest.param("registry.example/a:1", (f"mirror.example/a@{DIGEST}",), "", id="only of another"),
        pytest.param("loaded:1", (), "", id="never pulled"),
        pytest.param(f"a.example/b@{DIGEST}", (), f"a.example/b@{DIGEST}", id="pinned by its author"),
    ],
)
def test_an_image_is_pinned_by_the_digest_of_its_own_repository(
    reference: str, digests: tuple[str, ...], digest: str
):
    assert pin_of(reference, Image(id=ID, digests=digests)) == Pin(id=ID, digest=digest)


def test_what_runs_has_pinned_images_and_nothing_else_changed():
    document = {"name": "p", "services": {"a": {"image": "a:1", "command": ["x$$y"]}, "b": {"image": "b"}}}
    pinned = json.loads(pinned_document(json.dumps(document).encode(), {"a": ID, "b": f"b@{DIGEST}"}))
    assert pinned["services"] == {
        "a": {"image": ID, "command": ["x$$y"]},
        "b": {"image": f"b@{DIGEST}"},
    }
    assert pinned["name"] == "p"
