"""Packages as they arrive: where the description is found, which files are kept (spec: section 15)."""

import io
import zipfile

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


def zipped(files: dict[str, bytes], **attributes: int) -> bytes:
    """Return a zip; `attributes` are set on every entry."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in files.items():
            entry = zipfile.ZipInfo(path)
            for name, value in attributes.items():
                setattr(entry, name, value)
            archive.writestr(entry, data)
    return buffer.getvalue()


@pytest.mark.parametrize("folder", ["", "shop/"])
def test_a_zip_holds_the_same_package_as_a_tar(folder: str) -> None:
    files = {f"{folder}{path}": data for path, data in FILES.items()}
    assert read_package(zipped(files)).digest == read_package(packed(files)).digest


def test_what_some_systems_leave_in_archives_is_nobodys_content() -> None:
    debris = {"__MACOSX/shop/._margo.yaml": b"x", "shop/.DS_Store": b"x", ".DS_Store": b"x"}
    files = {f"shop/{path}": data for path, data in FILES.items()}
    assert read_package(zipped(files | debris)).digest == make_package(DESCRIPTION, FILES).digest


def test_names_with_backslashes_are_paths() -> None:
    files = {"shop\\margo.yaml": DESCRIPTION, "shop\\resources\\icon.png": b"png"}
    assert read_package(zipped(files)).files == {"resources/icon.png": b"png"}


@pytest.mark.parametrize(
    "archive",
    [
        pytest.param(zipped({"../margo.yaml": DESCRIPTION}), id="a step up"),
        pytest.param(zipped({"/margo.yaml": DESCRIPTION}), id="an absolute path"),
        pytest.param(
            zipped({"margo.yaml": b"/etc/passwd"}, external_attr=0o120777 << 16), id="a symbolic link"
        ),
        pytest.param(zipped({"margo.yaml": DESCRIPTION})[:-30], id="cut"),
        pytest.param(zipped({"margo.yaml": b" " * (80 << 20)}), id="a bomb"),
        pytest.param(b"PK\x03\x04 and nothing else", id="only the first bytes"),
        pytest.param(zipped({f"{number}": b"" for number in range(2_100)}), id="too many entries"),
    ],
)
def test_a_hostile_or_damaged_zip_is_refused(archive: bytes) -> None:
    with pytest.raises(ArchiveError):
        read_package(archive)
