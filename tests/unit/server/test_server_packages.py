"""Packages as they arrive: where the description is found, which files are kept (spec: section 15)."""

import pytest

from edgewright.protocol import yaml
from edgewright.protocol.archive import pack_directory_entries
from edgewright.protocol.errors import ArchiveError, DocumentError
from edgewright.server.domain.packages import make_package, read_package

DESCRIPTION = yaml.dump(
    {
        "apiVersion": "v1",
        "id": "shop",
        "metadata": {
            "name": "Shop",
            "version": "1.0.0",
            "catalog": {
                "organization": [{"name": "E"}],
                "application": {"icon": "./resources/icon.png", "site": "https://shop.test"},
            },
        },
        "deploymentProfiles": [
            {
                "type": "compose",
                "id": "compose",
                "components": [
                    {"name": "app", "properties": {"repository": "oci://r.test/a", "revision": "1.0.0"}}
                ],
            }
        ],
    }
)
FILES = {"margo.yaml": DESCRIPTION, "resources/icon.png": b"png", "notes.txt": b"named by nobody"}


def packed(files: dict[str, bytes]) -> bytes:
    return pack_directory_entries({path: (data, 0o644) for path, data in files.items()})


@pytest.mark.parametrize("folder", ["", "shop/", "any name/"])
def test_the_description_is_at_the_root_or_in_the_only_folder(folder: str) -> None:
    package = read_package(packed({f"{folder}{path}": data for path, data in FILES.items()}))
    assert package.text == DESCRIPTION
    assert package.files == {"resources/icon.png": b"png"}
    assert package.digest == make_package(DESCRIPTION, FILES).digest


def test_the_digest_tells_contents_apart() -> None:
    other = FILES | {"resources/icon.png": b"other"}
    assert make_package(DESCRIPTION, FILES).digest != make_package(DESCRIPTION, other).digest
    unnamed = FILES | {"notes.txt": b"other"}
    assert make_package(DESCRIPTION, FILES).digest == make_package(DESCRIPTION, unnamed).digest


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({"a/margo.yaml": DESCRIPTION, "b/x": b""}, id="two folders"),
        pytest.param({"a/b/margo.yaml": DESCRIPTION}, id="too deep"),
        pytest.param({"margo.yml": DESCRIPTION}, id="another spelling"),
    ],
)
def test_a_description_that_is_not_found_is_told(files: dict[str, bytes]) -> None:
    with pytest.raises(ArchiveError, match=r"margo\.yaml"):
        read_package(packed(files))


def test_a_file_that_is_named_and_missing_is_told_with_its_place() -> None:
    with pytest.raises(DocumentError, match=r"no file 'resources/icon\.png'") as error:
        read_package(packed({"margo.yaml": DESCRIPTION}))
    assert error.value.path == "$.metadata.catalog.application.icon"
