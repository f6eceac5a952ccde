"""A real identity provider (the npm package oidc-provider), and the way of a browser through it.

with OidcProvider.start(tmp_path, redirect_uri=f"{server.web_url}{CALLBACK}", accounts=…) as provider:
    provider.use(server, role_claim="groups", roles={"operators": "operator"})
    answer = through(provider, browser(server), "ada")
"""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import trustme
import yaml

from support.fixtures import unavailable
from support.people import Browser
from support.processes import own_environment, start, stop, tail, wait_until
from support.server_process import Answer, ServerProcess

LIBRARY = Path(__file__).resolve().parents[2] / ".cache/npm/node_modules/oidc-provider/lib/index.js"
PROGRAM = Path(__file__).with_name("oidc_provider.mjs")
CLIENT = "edgewright"
SECRET = "a secret: with % and / in it"
CALLBACK = "/login/oidc/callback"


@dataclass(slots=True)
class OidcProvider:
    """The provider while it runs; `accounts` are the claims it makes, by the name people type there."""

    issuer: str
    ca: Path
    secret_file: Path
    process: subprocess.Popen[bytes]

    @classmethod
    def start(cls, folder: Path, *, redirect_uri: str, accounts: dict[str, Any], **client: Any) -> Self:
        """Start the provider and return when it answers."""
        node = shutil.which("node")
        if node is None or not LIBRARY.exists():
            unavailable("no oidc-provider; run tools/bootstrap test")
        folder.mkdir(parents=True, exist_ok=True)
        authority = trustme.CA()
        issued = authority.issue_cert("127.0.0.1")
        authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        issued.private_key_pem.write_to_path(str(folder / "key.pem"))
        (folder / "cert.pem").write_bytes(b"".join(one.bytes() for one in issued.cert_chain_pems))
        (folder / "secret").write_text(f"{SECRET}\n")
        settings = {
            "cert": str(folder / "cert.pem"),
            "key": str(folder / "key.pem"),
            "client": {
                "client_id": CLIENT,
                "client_secret": SECRET,
                "redirect_uris": [redirect_uri],
                **client,
            },
            "accounts": accounts,
        }
        (folder / "settings.json").write_text(json.dumps(settings))
        log = folder / "provider.log"
        process = start(
            [node, str(PROGRAM), str(LIBRARY), str(folder / "settings.json")],
            log=log,
            environment=own_environment(),
        )
        issuer = wait_until(
            lambda: next((line for line in tail(log, 50).splitlines() if line.startswith("https://")), None),
            what="the identity provider did not start",
            alive=lambda: process.poll() is None,
        )
        return cls(issuer, folder / "ca.pem", folder / "secret", process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the provider."""
        stop(self.process)

    def rotate(self) -> None:
        """Replace the provider's signing key; the old one is no longer listed."""
        assert self.browser().request("POST", "/rotate").status == 204

    def browser(self) -> Browser:
        """Return a browser at the provider."""
        return Browser(self.issuer, self.ca.read_text())

    def settings(self, **more: Any) -> dict[str, Any]:
        """Return what server.yaml says of this provider."""
        return {
            "issuer": self.issuer,
            "client_id": CLIENT,
            "client_secret_file": str(self.secret_file),
            "ca_file": str(self.ca),
            "name": "Example Login",
            **more,
        }

    def use(self, server: ServerProcess, **more: Any) -> None:
        """Have a server know this provider; it is stopped, and started again on its ports."""
        server.stop()
        path = server.data / "server.yaml"
        told = yaml.safe_load(path.read_text()) | {"oidc": self.settings(**more)}
        path.write_text(yaml.safe_dump(told))
        server.start()


def through(provider: OidcProvider, one: Browser, person: str, *, leads_to: str = "/") -> Answer:
    """Take a browser to the provider, sign in there as `person`, and return the server's last answer."""
    return arrive(one, to_callback(provider, one, person, leads_to=leads_to))


def to_callback(provider: OidcProvider, one: Browser, person: str, *, leads_to: str = "/") -> str:
    """Do all of that but the last step, and return where the provider sends the browser."""
    answer = one.request("GET", f"/login/oidc?next={leads_to}")
    assert answer.status == 303, answer.body
    location = f"{answer.headers['location']}&login_hint={person}"
    assert location.startswith(f"{provider.issuer}/")
    there = provider.browser()
    for _ in range(10):
        parts = urlsplit(location)
        if CALLBACK in location:
            return location
        answer = there.request("GET", f"{parts.path}?{parts.query}")
        assert answer.status in {302, 303}, answer.body
        location = answer.headers["location"]
    raise AssertionError(f"the provider never came to an end: {location}")


def arrive(one: Browser, location: str) -> Answer:
    """Go where the provider sends the browser."""
    parts = urlsplit(location)
    return one.request("GET", f"{parts.path}?{parts.query}")
