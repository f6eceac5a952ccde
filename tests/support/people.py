"""People who use the pages of a real server: with a name, a role, and a browser that keeps cookies.

with ServerProcess.create(tmp_path / "server") as server:
    ada = sign_in(server, "operator")
    ada.get("/fleet")
    ada.post("/devices/edge-01/retire", {})   # shows the session's CSRF token by itself
"""

import json
import re
import ssl
import subprocess
from dataclasses import dataclass, field
from http.client import HTTPSConnection
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode, urlsplit

from support.server_process import COMMAND, Answer, ServerProcess, environment

PASSWORD = "seven quiet machines"


@dataclass(slots=True)
class Browser:
    """A browser without a screen; follows no redirect by itself. `cookies` maps names to values."""

    url: str
    ca: str
    cookies: dict[str, str] = field(default_factory=dict)
    csrf: str = ""

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Return the answer, whatever its status, and keep the cookies that came with it."""
        parts = urlsplit(self.url)
        context = ssl.create_default_context(cadata=self.ca)
        connection = HTTPSConnection(parts.hostname or "", parts.port, context=context, timeout=30)
        try:
            given = dict(headers or {})
            if self.cookies:
                given["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
            connection.request(method, path, body=body, headers=given)
            answer = connection.getresponse()
            for line in answer.headers.get_all("set-cookie") or ():
                for name, morsel in SimpleCookie(line).items():
                    self.cookies.pop(name, None)
                    if morsel["max-age"] != "0":
                        self.cookies[name] = morsel.value
            names = {name.lower(): text for name, text in answer.getheaders()}
            return Answer(answer.status, names, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        """Ask for a page and remember what its forms have to show."""
        answer = self.request("GET", path, headers=headers)
        # That of a form where the page has one, as that is what a browser sends; else that for scripts.
        for kind in (b"value", b"content"):
            found = re.search(rb'name="csrf" ' + kind + rb'="([0-9a-f]*)"', answer.body)
            if found:
                self.csrf = found[1].decode()
                break
        return answer

    def post(self, path: str, values: dict[str, Any], **headers: str) -> Answer:
        """Send a form, with the CSRF token of the page asked for last unless `values` has another."""
        body = urlencode({"csrf": self.csrf, **values}, doseq=True).encode()
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.request("POST", path, body=body, headers=kind | headers)

    def call(self, method: str, path: str, value: Any = None) -> Answer:
        """Use the operator API as a script of a page would."""
        body = None if value is None else json.dumps(value).encode()
        return self.request(method, f"/operator/v1{path}", body=body, headers={"X-CSRF-Token": self.csrf})


def browser(server: ServerProcess) -> Browser:
    """Return a browser in which nobody is signed in."""
    return Browser(server.web_url, server.operator.ca)


def add_person(server: ServerProcess, name: str, role: str, password: str = PASSWORD) -> None:
    """Make a user with a password of their own."""
    done = subprocess.run(
        [*COMMAND, "user", "add", "--data", str(server.data), name, "--role", role, "--stdin"],
        input=f"{password}\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr


def sign_in(server: ServerProcess, role: str, name: str = "", password: str = PASSWORD) -> Browser:
    """Return a browser in which somebody with that role is signed in; the user is made if it is not there."""
    name = name or f"some-{role}"
    one = browser(server)
    one.get("/login")
    if one.post("/login", {"name": name, "password": password}).status == 401:
        add_person(server, name, role, password)
        assert one.post("/login", {"name": name, "password": password}).status == 303
    one.get("/account/password")
    return one
