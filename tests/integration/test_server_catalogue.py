"""The catalogue by API and pages: what is shown, and that what strangers wrote in it does no harm."""

import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from edgewright.protocol.archive import pack_directory_entries
from support.foreign_client import ForeignClient, capabilities
from support.packages import describing
from support.people import Browser, sign_in
from support.server_process import Answer, OperatorClient, ServerProcess

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
PNG = b"\x89PNG\r\n\x1a\n and so on"
README = b"""# Shop

Sells **things** <script>alert(1)</script> [good](https://example.org/a?b=1&c="2)
[bad](javascript:alert(1)) [worse](data:text/html,x) ![picture](http://elsewhere.test/x.png) ![icon](icon.svg)

| a | b |
|--:|---|
| 1 | 2 |
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess.create(tmp_path_factory.mktemp("catalogue") / "server") as running:
        yield running


@pytest.fixture(scope="module")
def operator(server: ServerProcess) -> OperatorClient:
    return server.operator


@pytest.fixture(scope="module")
def ada(server: ServerProcess) -> Browser:
    return sign_in(server, "operator")


@pytest.fixture(scope="module")
def viewer(server: ServerProcess) -> Browser:
    return sign_in(server, "viewer")


def zipped(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, data in files.items():
            archive.writestr(path, data)
    return buffer.getvalue()


def upload(operator: OperatorClient, description: bytes, files: Mapping[str, bytes] | None = None) -> Any:
    entries = {"margo.yaml": description, **(files or {})}
    packed = pack_directory_entries({path: (data, 0o644) for path, data in entries.items()})
    return operator.post("/packages", body=packed, media_type="application/gzip")


def send_file(browser: Browser, data: bytes, name: str = "shop.zip") -> Answer:
    """Send the upload form as a browser does."""
    browser.get("/add-packages")
    line = b"----a-boundary"
    body = b"\r\n".join(
        [
            b"--" + line,
            b'Content-Disposition: form-data; name="csrf"',
            b"",
            browser.csrf.encode(),
            b"--" + line,
            f'Content-Disposition: form-data; name="package"; filename="{name}"'.encode(),
            b"Content-Type: application/zip",
            b"",
            data,
            b"--" + line + b"--",
            b"",
        ]
    )
    kind = {"Content-Type": f"multipart/form-data; boundary={line.decode()}", "Accept": "text/html"}
    return browser.request("POST", "/add-packages/upload", body=body, headers=kind)


def text_of(answer: Answer) -> str:
    return answer.body.decode()


def test_a_zip_is_uploaded_by_the_page_and_shown(ada: Browser, unique: str) -> None:
    answer = send_file(ada, zipped({"margo.yaml": describing(unique)}))
    assert (answer.status, answer.headers["location"]) == (303, f"/packages/{unique}/1.0.0")
    shown = text_of(ada.get(answer.headers["location"]))
    assert f"{unique.title()} 1.0.0 is in the catalogue." in shown


def test_a_package_larger_than_other_forms_is_uploaded(ada: Browser, unique: str) -> None:
    files = {"margo.yaml": describing(unique, files={"icon": "icon.png"}), "icon.png": PNG + bytes(3 << 20)}
    assert send_file(ada, zipped(files)).status == 303


@pytest.mark.parametrize(
    ("data", "told"),
    [
        pytest.param(b"nothing of the kind", "not a readable gzip archive", id="no archive"),
        pytest.param(zipped({"readme.md": b""}), "there is no margo.yaml", id="no description"),
        pytest.param(
            zipped({"margo.yaml": b"apiVersion: v1\nid: Not An Id\n"}), "$.id", id="a bad description"
        ),
        pytest.param(b"", "package", id="nothing"),
    ],
)
def test_a_file_that_is_no_package_is_told_on_the_page(ada: Browser, data: bytes, told: str) -> None:
    answer = send_file(ada, data, "broken.zip")
    assert (answer.status, answer.headers["content-type"]) == (422, "text/html; charset=utf-8")
    assert told in text_of(answer)


def test_an_import_that_fails_keeps_what_was_typed(ada: Browser) -> None:
    ada.get("/add-packages")
    for reference in ("no reference", "oci://127.0.0.1:1/shop:1.0.0"):
        answer = ada.post("/add-packages/import", {"reference": reference})
        assert answer.status == 422
        assert f'value="{reference}"' in text_of(answer)


def test_what_an_author_wrote_is_shown_and_never_run(
    operator: OperatorClient, ada: Browser, unique: str
) -> None:
    roles = {"icon": "icon.svg", "descriptionFile": "README.md", "licenseFile": "LICENSE"}
    files = {"icon.svg": SVG, "README.md": README, "LICENSE": b"<b>free</b>"}
    upload(operator, describing(unique, files=roles), files)
    answer = ada.get(f"/packages/{unique}/1.0.0")
    shown = text_of(answer)
    assert "<strong>things</strong>" in shown
    assert "<script>alert" not in shown
    assert 'href="javascript' not in shown
    assert 'href="data:' not in shown
    assert "elsewhere.test" not in shown
    assert f'<img src="/packages/{unique}/1.0.0/files/icon.svg" alt="icon"' in shown
    assert "style=" not in shown
    assert "&lt;b&gt;free&lt;/b&gt;" in shown
    assert "<h3>Shop</h3>" in shown
    assert "script-src 'self'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("path", "data", "media_type", "disposition", "is_boxed"),
    [
        ("icon.svg", SVG, "image/svg+xml", "inline", True),
        ("icon.png", PNG, "image/png", "inline", True),
        ("icon.png", b"<html><script>alert(1)</script>", "application/octet-stream", "attachment", True),
        ("icon.html", b"<html><script>alert(1)</script>", "application/octet-stream", "attachment", True),
        ("pictures/i c\xf6n.png", PNG, "image/png", "inline", True),
    ],
)
def test_files_are_handed_out_as_what_can_do_no_harm(
    operator: OperatorClient,
    ada: Browser,
    unique: str,
    path: str,
    data: bytes,
    media_type: str,
    disposition: str,
    is_boxed: bool,
) -> None:
    upload(operator, describing(unique, files={"icon": path}), {path: data})
    url = f"/packages/{unique}/1.0.0/files/{quote(path)}"
    for answer in (operator.request("GET", url), ada.get(url)):
        assert (answer.status, answer.body) == (200, data)
        assert answer.headers["content-type"] == media_type
        assert answer.headers["content-disposition"].startswith(f"{disposition}; ")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert ("sandbox" in answer.headers["content-security-policy"]) is is_boxed
    seen = ada.get(url).headers["etag"]
    assert ada.get(url, **{"If-None-Match": seen}).status == 304
    assert operator.request("GET", f"/packages/{unique}/1.0.0/files/margo.yaml").status == 404
    assert operator.request("GET", f"/packages/{unique}/1.0.0/files/../../x").status == 404


def test_a_licence_that_is_a_pdf_is_a_download(operator: OperatorClient, ada: Browser, unique: str) -> None:
    upload(operator, describing(unique, files={"licenseFile": "l.pdf"}), {"l.pdf": b"%PDF-1.7 and so on"})
    assert "Download the licence" in text_of(ada.get(f"/packages/{unique}/1.0.0"))
    answer = ada.get(f"/packages/{unique}/1.0.0/files/l.pdf")
    assert answer.headers["content-disposition"].startswith("attachment")


def test_an_application_is_described_by_its_newest_finished_version(
    operator: OperatorClient, ada: Browser, unique: str
) -> None:
    for version in ("1.9.0", "1.10.0", "2.0.0-rc.1"):
        upload(operator, describing(unique, version))
    shown = operator.get(f"/applications/{unique}")
    assert (shown["newest"], shown["versions"]) == ("1.10.0", ["2.0.0-rc.1", "1.10.0", "1.9.0"])
    assert [one["id"] for one in operator.get(f"/applications?q={unique}")["items"]] == [unique]
    listed = text_of(ada.get(f"/packages?q={unique}"))
    assert f'href="/packages/{unique}"' in listed
    page = text_of(ada.get(f"/packages/{unique}"))
    places = [page.index(f"/packages/{unique}/{version}") for version in shown["versions"]]
    assert places == sorted(places)


def needing(unique: str, **constraints: Any) -> bytes:
    component = {"name": "app", "properties": {"repository": "oci://r.test/a", "revision": "1.0.0"}}
    profile = {
        "type": "compose",
        "id": "large",
        "components": [component],
        "deviceConstraints": {"capacityRequirements": constraints},
    }
    return describing(unique, deploymentProfiles=[profile])


@pytest.mark.requirement("MAT-2")
def test_it_is_shown_which_devices_a_version_fits_and_why_not(
    operator: OperatorClient, ada: Browser, tmp_path: Path, unique: str
) -> None:
    token = operator.post("/enrollments", {"name": unique})["token"]
    with ForeignClient.enrolled(token, tmp_path / "device") as client:
        client.report_capabilities(unique, capabilities(unique))
    upload(operator, describing(unique))
    upload(operator, needing(f"{unique}-large", memory="9000Gi"))
    fitting = operator.get(f"/packages/{unique}/1.0.0/devices?fits=true")["items"]
    assert unique in [one["client_id"] for one in fitting]
    found = operator.get(f"/packages/{unique}-large/1.0.0/devices")["items"]
    mine = next(one for one in found if one["client_id"] == unique)
    assert (mine["fits"], mine["profile"]) == (False, None)
    assert "memory: 9000Gi needed" in mine["reasons"][0]
    page = text_of(ada.get(f"/packages/{unique}-large/1.0.0"))
    assert "at least 9000 GiB memory" in page
    part = text_of(ada.get(f"/packages/{unique}-large/1.0.0/devices", **{"HX-Request": "true"}))
    assert "memory: 9000Gi needed" in part
    assert "<html" not in part


def test_who_may_only_look_is_offered_no_change(
    operator: OperatorClient, viewer: Browser, unique: str
) -> None:
    upload(operator, describing(unique))
    for path in (
        "/packages",
        f"/packages/{unique}",
        f"/packages/{unique}/1.0.0",
        "/sources",
        "/add-packages",
    ):
        main = re.sub(r"(?s)^.*<main", "", text_of(viewer.get(path)))
        assert 'method="post"' not in main, path
        assert "/deploy?" not in main, path
    assert viewer.post(f"/packages/{unique}/1.0.0/remove", {}).status == 403
    assert viewer.post("/sources/new", {"name": "x"}).status == 403


def test_a_version_is_removed_by_the_page(operator: OperatorClient, ada: Browser, unique: str) -> None:
    upload(operator, describing(unique))
    ada.get(f"/packages/{unique}/1.0.0")
    answer = ada.post(f"/packages/{unique}/1.0.0/remove", {})
    assert (answer.status, answer.headers["location"]) == (303, "/packages")
    assert ada.get(f"/packages/{unique}/1.0.0", Accept="text/html").status == 404


def form(**given: str) -> dict[str, str]:
    return {
        "kind": "registry",
        "location": "registry.example",
        "every_minutes": "60",
        "access": "none",
        **given,
    }


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"name": "No Name"}, "name"),
        ({"name": "new"}, "name"),
        ({"location": "a/b"}, "location"),
        ({"repositories": "Acme"}, "repositories"),
        ({"every_minutes": "soon"}, "every_minutes"),
        ({"ca": "no certificate"}, "ca"),
    ],
)
def test_what_is_wrong_with_a_source_is_said_beside_its_field(
    ada: Browser, unique: str, given: dict[str, str], field: str
) -> None:
    ada.get("/sources/new")
    answer = ada.post("/sources/new", form(**{"name": unique, "repositories": "acme/shop", **given}))
    assert answer.status == 422
    assert f'id="field-{field}-fault"' in text_of(answer)
    assert given.get("name", unique) in text_of(answer)


def test_a_source_is_made_changed_looked_through_and_removed_by_the_pages(
    server: ServerProcess, operator: OperatorClient, ada: Browser, unique: str
) -> None:
    ada.get("/sources/new")
    made = ada.post("/sources/new", form(name=unique, repositories="acme/shop\nacme/b*", every_minutes=""))
    assert (made.status, made.headers["location"]) == (303, f"/sources/{unique}")
    assert "acme/shop, acme/b*" in text_of(ada.get(f"/sources/{unique}"))
    changed = ada.post(f"/sources/{unique}/edit", form(repositories="acme/c"))
    assert changed.status == 303
    shown = operator.get(f"/sources/{unique}")
    assert (shown["repositories"], shown["every_minutes"]) == (["acme/c"], 60)
    assert ada.post(f"/sources/{unique}/look", {}).status == 303
    assert ada.post(f"/sources/{unique}/remove", {}).status == 303
    assert operator.request("GET", f"/sources/{unique}").status == 404


def test_credentials_and_folders_are_for_administrators(
    server: ServerProcess, ada: Browser, unique: str
) -> None:
    ada.get("/sources/new")
    for given in (
        form(name=unique, access="token", token="a-token"),
        form(name=unique, kind="folder", folder="/srv"),
    ):
        answer = ada.post("/sources/new", given)
        assert answer.status == 422
        assert "are for administrators" in text_of(answer)
        assert "a-token" not in text_of(answer)
    admin = sign_in(server, "admin")
    admin.get("/sources/new")
    assert admin.post("/sources/new", form(name=unique, access="token", token="a-token")).status == 303
    edit = text_of(admin.get(f"/sources/{unique}/edit"))
    assert "Those that are kept (a token)" in edit
    assert "a-token" not in edit
    # Kept credentials go to no other place by the hand of somebody who could not have set them.
    moved = form(location="elsewhere.example", access="keep")
    assert "are for administrators" in text_of(ada.post(f"/sources/{unique}/edit", moved))
    assert admin.post(f"/sources/{unique}/remove", {}).status == 303
