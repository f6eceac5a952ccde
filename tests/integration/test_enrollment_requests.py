"""Devices that ask to be let in without a token: real `agent enroll` processes and a real server."""

import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from edgewright.protocol.enrollment import EnrollmentToken
from support.foreign_client import csr_of, web_request
from support.people import sign_in
from support.processes import own_environment, wait_until
from support.server_process import ServerProcess

PATH = "/edgewright/v1/enroll/requests"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with ServerProcess.create(tmp_path_factory.mktemp("asking") / "server") as running:
        yield running


@pytest.fixture
def ca(server, tmp_path):
    path = tmp_path / "ca.pem"
    path.write_text(server.operator.ca)
    return path


class Device:
    """One device: its state directory and the process that asks."""

    def __init__(self, server, ca, folder, name):
        self.state = folder / name
        self.name = name
        self.log = folder / f"{name}.log"
        self._words = [
            "--server",
            server.web_url,
            "--name",
            name,
            "--ca",
            str(ca),
            "--state",
            str(self.state),
        ]
        self.process = None

    def command(self, *words):
        program = Path(sys.executable).with_name("edgewright")
        return [program, "agent", "enroll", *self._words, *words]

    def run(self, *words):
        return subprocess.run(self.command(*words), capture_output=True, text=True, timeout=60, check=False)

    def start(self, *words):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(*words), stdout=log, stderr=log, env=own_environment(PYTHONUNBUFFERED="1")
            )

    def end(self):
        """Return how the process ended by itself."""
        return self.process.wait(60), self.log.read_text()

    @property
    def fingerprint(self):
        done = self.run("--no-wait", "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[0])["fingerprint"]


@pytest.fixture
def device(server, ca, tmp_path):
    made = []

    def make(name):
        made.append(Device(server, ca, tmp_path, name))
        return made[-1]

    yield make
    for one in made:
        if one.process is not None and one.process.poll() is None:
            one.process.kill()
            one.process.wait()


def waiting(server, name):
    return [
        one for one in server.operator.items("/enrollments/requests?state=waiting") if one["name"] == name
    ]


def request_of(server, name):
    wait_until(lambda: waiting(server, name), what=f"{name} does not ask")
    (found,) = waiting(server, name)
    return found


def approve(server, one, **more):
    return server.operator.request("POST", f"/enrollments/requests/{one['id']}/approve", more)


def last_audit(server, action):
    return server.operator.get(f"/audit?action={action.replace(' ', '%20')}&limit=1")["items"][0]


@pytest.mark.requirement("ON-2", "ON-4", "LC-1", "SVID-11")
def test_a_device_that_asks_is_let_in_when_a_person_approves_its_fingerprint(server, device):
    edge = device("press-1")
    edge.start()
    one = request_of(server, "press-1")
    assert (one["state"], one["address"], one["taken"]) == ("waiting", "127.0.0.1", None)
    assert one["hostname"]
    wait_until(lambda: one["fingerprint"] in edge.log.read_text(), what="no fingerprint is shown")
    answer = approve(server, one)
    assert (answer.status, answer.json["state"]) == (200, "approved")
    code, said = edge.end()
    assert code == 0, said
    assert "enrolled as spiffe://example.org/margo/wfm/main/client/press-1" in said
    synced = subprocess.run(
        [Path(sys.executable).with_name("edgewright"), "agent", "sync", "--state", edge.state],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert synced.returncode == 0, synced.stderr
    assert server.operator.get("/devices/press-1")["origin"] == "enrolled"
    noted = last_audit(server, "approve enrolment")
    assert (noted["subject"], noted["before"]["request"], noted["after"]["request"]) == (
        "press-1",
        "waiting",
        "approved",
    )
    assert not list(edge.state.glob("identity/pending-*"))


def test_a_person_may_give_another_name_than_the_device_wished(server, device):
    edge = device("raspberrypi")
    edge.start()
    assert approve(server, request_of(server, "raspberrypi"), name="press-2").json["client_id"] == "press-2"
    code, said = edge.end()
    assert code == 0, said
    assert "client/press-2" in said


def test_a_device_that_is_turned_down_says_why_and_asks_anew_with_another_key(server, device):
    edge = device("stranger")
    edge.start()
    one = request_of(server, "stranger")
    answer = server.operator.post(
        f"/enrollments/requests/{one['id']}/reject", {"reason": "not one of \x1b[31mours"}
    )
    assert answer["state"] == "rejected"
    code, said = edge.end()
    assert code == 2
    assert "turned down: not one of ?[31mours" in said
    assert approve(server, one).status == 409
    assert edge.fingerprint != one["fingerprint"]
    assert last_audit(server, "reject enrolment")["after"]["request"] == "rejected"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_restart_in_the_middle_goes_on_with_the_same_key(server, device, how):
    edge = device(f"restarted-{how.name.lower()}")
    edge.start()
    one = request_of(server, edge.name)
    wait_until(lambda: "waiting for approval" in edge.log.read_text(), what="it does not wait")
    edge.process.send_signal(how)
    assert edge.process.wait(30) != 0
    assert "Traceback" not in edge.log.read_text()
    assert approve(server, one).status == 200
    edge.start()
    code, said = edge.end()
    assert code == 0, said
    assert one["fingerprint"] in said


def test_the_server_may_be_away_while_a_device_waits(ca, tmp_path):
    with ServerProcess.create(tmp_path / "server") as server:
        ca.write_text(server.operator.ca)
        edge = Device(server, ca, tmp_path, "patient")
        edge.start()
        try:
            one = request_of(server, "patient")
            server.kill()
            wait_until(lambda: "connection refused" in edge.log.read_text(), what="no trouble is told")
            server.start()
            assert request_of(server, "patient")["id"] == one["id"]
            assert approve(server, one).status == 200
            code, said = edge.end()
            assert code == 0, said
        finally:
            if edge.process.poll() is None:
                edge.process.kill()
                edge.process.wait()


def test_without_waiting_it_asks_once_and_takes_the_decision_up_later(server, device):
    edge = device("hurried")
    first = edge.run("--no-wait", "--json")
    assert [json.loads(line)["state"] for line in first.stdout.splitlines()] == ["asking", "waiting"]
    assert approve(server, request_of(server, "hurried")).status == 200
    again = edge.run("--no-wait", "--json")
    told = json.loads(again.stdout.splitlines()[-1])
    assert (told["state"], told["client"].rpartition("/")[2]) == ("enrolled", "hurried")
    assert edge.run("--no-wait").returncode == 2


def test_a_taken_name_is_told_and_replaced_only_when_said(server, device):
    old, new = device("twin"), device("twin-2")
    old.run("--no-wait")
    assert approve(server, request_of(server, "twin")).status == 200
    assert old.run("--no-wait").returncode == 0
    new._words[new._words.index("twin-2")] = "twin"
    new.run("--no-wait")
    one = request_of(server, "twin")
    assert "is a device already" in one["taken"]
    refused = approve(server, one)
    assert (refused.status, refused.json["type"]) == (409, "about:blank")
    assert "'twin' is a device already" in refused.json["detail"]
    before = server.operator.get("/devices/twin")
    assert request_of(server, "twin")["state"] == "waiting"
    assert approve(server, one, replace=True).status == 200
    assert new.run("--no-wait").returncode == 0
    assert server.operator.get("/devices/twin")["created"] == before["created"]
    assert last_audit(server, "approve enrolment")["before"]["device"]["state"] == "accepted"


def test_two_devices_that_wish_the_same_name_both_wait(server, device):
    one, two = device("same"), device("same-b")
    two._words[two._words.index("same-b")] = "same"
    fingerprints = {one.fingerprint, two.fingerprint}
    assert {each["fingerprint"] for each in waiting(server, "same")} == fingerprints


def test_an_open_invitation_of_the_name_is_told(server, device):
    server.operator.post("/enrollments", {"name": "invited"})
    device("invited").run("--no-wait")
    assert "invitation for 'invited' is open" in request_of(server, "invited")["taken"]


def test_one_key_gets_one_name(server):
    key = ec.generate_private_key(ec.SECP256R1())
    ask(server, key, "one-name")
    assert approve(server, request_of(server, "one-name")).status == 200
    assert ask(server, key, "another-name").json["clientId"] == "one-name"


def test_a_device_that_was_retired_does_not_come_back_by_its_old_request(server):
    key = ec.generate_private_key(ec.SECP256R1())
    ask(server, key, "gone")
    assert approve(server, request_of(server, "gone")).status == 200
    server.operator.delete("/devices/gone")
    assert ask(server, key, "gone").status == 202
    assert "is retired" in request_of(server, "gone")["taken"]


def ask(server, key, name, **more):
    body = json.dumps({"name": name, "csr": csr_of(key), **more}).encode()
    return web_request("POST", server.web_url, PATH, body=body)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 422),
        (b"{}", 422),
        (b'{"name": "a", "csr": "x"}', 422),
        (b'{"name": 1, "csr": "x"}', 422),
        (b"\xff", 400),
        (b"{" * 4000, 400),
        (b" " * 9000, 413),
    ],
)
def test_what_is_no_request_is_refused_and_nothing_waits(server, body, status):
    before = server.operator.get("/enrollments/requests")["total"]
    assert web_request("POST", server.web_url, PATH, body=body).status == status
    assert server.operator.get("/enrollments/requests")["total"] == before


@pytest.mark.parametrize(
    "name", ["", "..", "a/b", "labels", "requests", "<script>", "x" * 200, "a\u202eb", "\ud800"]
)
def test_hostile_names_do_not_wait(server, name):
    answer = ask(server, ec.generate_private_key(ec.SECP256R1()), name)
    assert answer.status in (400, 422)


def test_hostile_words_are_kept_harmless(server):
    ask(
        server,
        ec.generate_private_key(ec.SECP256R1()),
        "hostile",
        hostname="<script>alert(1)</script>\x1b[2J\u202e" + "x" * 500,
        agentVersion="'\"&\n",
        unknown={"a": 1},
    )
    one = request_of(server, "hostile")
    assert one["hostname"].startswith("?script?alert?1???script???2J?xxx")
    assert (len(one["hostname"]), one["agent_version"]) == (64, "????")


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_an_operator_decides_and_who_may_only_look_does_not(server, role):
    ask(server, ec.generate_private_key(ec.SECP256R1()), f"for-{role}")
    one = request_of(server, f"for-{role}")
    person = sign_in(server, role)
    person.get("/enrollments")
    for what, value in (("approve", {}), ("reject", {})):
        status = person.call("POST", f"/enrollments/requests/{one['id']}/{what}", value).status
        assert status == (403 if role == "viewer" else 200 if what == "approve" else 409)


def test_what_nobody_asked_is_not_found(server):
    for request_id in ("0" * 20, "x", "%2e%2e", "9" * 400):
        assert server.operator.request("GET", f"/enrollments/requests/{request_id}").status == 404
        answer = server.operator.request("POST", f"/enrollments/requests/{request_id}/approve", {})
        assert answer.status == 404


def test_a_rehearsal_lets_nobody_in(server):
    ask(server, ec.generate_private_key(ec.SECP256R1()), "rehearsed")
    one = request_of(server, "rehearsed")
    path = f"/enrollments/requests/{one['id']}/approve?dry_run=true"
    assert server.operator.post(path, {})["state"] == "approved"
    assert request_of(server, "rehearsed")["state"] == "waiting"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--name", "a"], "--server"),
        (["--server", "https://localhost", "--name", "a"], "--ca or --pin"),
        (["--server", "https://localhost", "--pin", "A" * 43 + "="], "--name"),
        (["--server", "https://localhost", "--name", "a", "--pin", "short"], "--pin: expected 44"),
        (["--server", "http://localhost", "--name", "a", "--pin", "A" * 43 + "="], "https://"),
        (["--server", "https://localhost", "--name", "a/b", "--pin", "A" * 43 + "="], "--name: identifier"),
        (["--server", "https://localhost", "--name", "a", "--ca", "/nowhere.pem"], "/nowhere.pem"),
        (["ewt1.x", "--server", "https://localhost", "--name", "a", "--ca", "x"], "TOKEN: not together"),
        (["--no-wait"], "--no-wait goes with"),
    ],
)
def test_half_of_what_asking_needs_is_told(tmp_path, words, told):
    program = Path(sys.executable).with_name("edgewright")
    done = subprocess.run(
        [program, "agent", "enroll", *words, "--state", str(tmp_path / "state")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert told in done.stderr
    assert not (tmp_path / "state").exists()


@pytest.mark.requirement("TLS-14", "TLS-19")
def test_a_server_is_known_by_its_pin_and_no_other_is_asked(server, device):
    token = server.operator.post("/enrollments", {"name": "unused"})["token"]
    pin = EnrollmentToken.parse(token).pin
    edge = device("pinned")
    at = edge._words.index("--ca")
    edge._words[at : at + 2] = ["--pin", pin]
    done = edge.run("--no-wait")
    assert done.returncode == 0, done.stderr
    assert request_of(server, "pinned")
    edge._words[at : at + 2] = ["--pin", "A" * 43 + "="]
    wrong = edge.run()
    assert wrong.returncode == 2
    assert "pinned key" in wrong.stderr


def test_a_flood_from_one_address_is_bounded_and_keeps_nobody_else_out(tmp_path):
    with ServerProcess.create(tmp_path / "server") as server:
        keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(60)]
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda key: ask(server, key, "flood"), keys))
        statuses = [one.status for one in answers]
        assert (statuses.count(202), statuses.count(503)) == (50, 10)
        full = next(one for one in answers if one.status == 503)
        assert "from this address wait already" in full.json["detail"]
        assert int(full.headers["retry-after"]) > 0
        assert server.operator.get("/enrollments/requests?state=waiting")["total"] == 50
        first = next(key for key, one in zip(keys, answers, strict=True) if one.status == 202)
        with ThreadPoolExecutor(4) as pool:
            again = [one.status for one in pool.map(lambda _: ask(server, first, "flood"), range(260))]
        assert again.count(429) > 0
        assert set(again) <= {202, 429}
        assert server.operator.post("/enrollments", {"name": "by-token"})["token"]


def test_a_person_decides_on_the_command_line(server, device, tmp_path):
    def operator(*words):
        return subprocess.run(
            [Path(sys.executable).with_name("edgewright"), *words],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=own_environment(HOME=str(tmp_path)),
        )

    context = ["--context", str(server.data / "operator.json")]
    good, bad = device("typed"), device("typed-bad")
    good.start()
    bad.start()
    for name in ("typed", "typed-bad"):
        assert request_of(server, name)["fingerprint"] in operator("enrollment", "requests", *context).stdout
    approved = operator("enrollment", "approve", request_of(server, "typed")["fingerprint"], *context)
    assert approved.returncode == 0, approved.stderr
    words = request_of(server, "typed-bad")["fingerprint"].split()
    rejected = operator("enrollment", "reject", *words, "--reason", "no", *context)
    assert rejected.returncode == 0, rejected.stderr
    assert good.end()[0] == 0
    code, said = bad.end()
    assert (code, "turned down: no" in said) == (2, True)
    assert operator("enrollment", "approve", *words, *context).returncode == 2
