"""The console as an attacker meets it: without a session, with somebody else's page, with a role that may little."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import httpx
import pytest
from playwright.sync_api import expect
from tabs import ROOT, Tab

from fleetward.access.aws_managed import AWS_MANAGED
from fleetward.access.documents import compiled
from fleetward.api import models, operations
from fleetward.policy.evaluate import evaluate
from running_server import RunningServer

PASSWORD = "Correct-horse-1"
READS = re.compile("Describe|Get|List|Filter|Lint|Backtest|Validate|Test|ChangePassword")


@pytest.fixture
def http(console_server: RunningServer) -> Iterator[Callable[[], httpx.Client]]:
    """A factory of HTTP clients that are signed in as root, each with a session of its own."""
    made = []

    def sign_in() -> httpx.Client:
        base = console_server.info.endpoint_url
        made.append(httpx.Client(base_url=base, headers={"origin": base}))
        answer = made[-1].post("/console/sign-in", data={"name": ROOT[0], "secret": ROOT[1]})
        assert answer.status_code == 303
        return made[-1]

    yield sign_in
    for client in made:
        client.close()


def page_id(client: httpx.Client) -> str:
    found = re.search(r"'?\"?client_id'?\"?: ?'?\"?([0-9a-f-]{36})", client.get("/console/fleet").text)
    assert found
    return found[1]


def connect(client: httpx.Client, identity: str) -> int:
    """Opens the live connection of a page, by polling; the status."""
    query = {"EIO": "4", "transport": "polling", "client_id": identity}
    return client.get("/console/_nicegui_ws/socket.io/", params=query).status_code


def test_a_page_is_out_of_reach_of_other_sessions(http: Callable[[], httpx.Client]) -> None:
    """Who knows the id of another session's page can neither listen to it nor send it anything."""
    own, other = http(), http()
    identity = page_id(own)
    assert connect(other, identity) == 403
    assert connect(other, "") == 403
    assert other.post(f"/console/_nicegui/client/{identity}/upload/1").status_code == 403
    assert connect(own, identity) == 200


RECORD = """() => {
    const emit = window.socket.emit.bind(window.socket);
    window.sent = [];
    window.socket.emit = (...message) => { window.sent.push(message); return emit(...message); };
}"""


def test_events_for_a_page_come_by_its_own_connection(new_tab: Callable[..., Tab]) -> None:
    """A recorded event does its work when its own page sends it again, and nothing when another session's does."""
    victim, attacker = new_tab(), new_tab()
    for tab in (victim, attacker):
        tab.sign_in()
        tab.page.wait_for_url("**/console/fleet")
    page = victim.open("/mqtt")
    page.evaluate(RECORD)
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    message = page.evaluate("window.sent.findLast((one) => one[0] === 'event')")
    again = "(message) => { window.socket.emit(...message); }"
    attacker.page.evaluate(again, message)
    attacker.open("/things")
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    page.evaluate(again, message)
    expect(page.get_by_role("button", name="Pause")).to_be_visible()


def test_what_proxies_say_of_themselves_is_not_believed(http: Callable[[], httpx.Client]) -> None:
    """Forwarding headers, which anybody can send, neither appear in pages nor lead requests elsewhere."""
    client = http()
    headers = {"x-forwarded-prefix": "/evil", "x-forwarded-host": "evil.example", "forwarded": "host=evil.example"}
    answer = client.get("/console/fleet", headers=headers)
    assert answer.status_code == 200
    assert "evil" not in answer.text
    assert "evil" not in client.get("/console", headers=headers).headers["location"]


@pytest.mark.parametrize(
    "path",
    [
        "/console/../console/fleet",
        "/console/%2e%2e/%2e%2e/etc/passwd",
        "/console/static/%2e%2e/shell.py",
        "/console/static/..%2fweb.py",
        "/console//fleet",
        "/console/sign-in/../fleet",
        "/console/sign-in%2f..%2ffleet",
    ],
)
def test_paths_lead_nowhere_they_should_not(console_server: RunningServer, path: str) -> None:
    """Dots, doubled and encoded slashes get nobody past the sign-in page, nor out of the folder of static files."""
    base = console_server.info.endpoint_url
    transport = httpx.HTTPTransport()
    request = httpx.Request("GET", base, extensions={"target": path.encode()})
    with transport:
        anonymous = transport.handle_request(request)
    assert anonymous.status_code in (303, 403, 404)
    with httpx.Client(base_url=base, headers={"origin": base}) as client:
        client.post("/console/sign-in", data={"name": ROOT[0], "secret": ROOT[1]})
        answer = client.get("/", extensions={"target": path.encode()})
    assert "import annotations" not in answer.text
    assert "root:x:" not in answer.text


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"name=a&secret=" + b"x" * 5_000, {}),
        (b"&".join(b"f%d=1" % number for number in range(100)), {}),
        (b"name=%ff%00&secret=\xff", {}),
        (b"--b\r\n\r\nx\r\n--b--", {"content-type": "multipart/form-data; boundary=b"}),
        (b"", {}),
    ],
)  # fmt: skip
def test_hostile_forms_are_refused_in_words(
    console_server: RunningServer, body: bytes, headers: dict[str, str]
) -> None:
    """Whatever is sent to the sign-in page, it answers with a page of its own and lets nobody in."""
    base = console_server.info.endpoint_url
    answer = httpx.post(f"{base}/console/sign-in", content=body, headers={"origin": base, **headers})
    assert answer.status_code in (403, 413, 429)
    assert "set-cookie" not in answer.headers
    assert "Fleetward" in answer.text


def test_a_session_holds_few_pages(http: Callable[[], httpx.Client]) -> None:
    """Pages that are opened in masses cost the oldest of the same session, and nobody else's."""
    own, other = http(), http()
    theirs, first = page_id(other), page_id(own)
    last = [page_id(own) for _ in range(30)][-1]
    assert own.post(f"/console/_nicegui/client/{first}/upload/1").status_code != 403  # unknown: NiceGUI's to refuse
    assert connect(own, last) == 200
    assert connect(other, theirs) == 200


def test_a_session_that_ends_takes_its_open_pages_along(
    new_tab: Callable[..., Tab], console_server: RunningServer
) -> None:
    """When a password is taken away, a page that is open gets nothing new and leads to the sign-in page."""
    iam = console_server.client("iam")
    iam.create_user(UserName="leaver")
    iam.create_login_profile(UserName="leaver", Password=PASSWORD)
    iam.attach_user_policy(UserName="leaver", PolicyArn="arn:aws:iam::aws:policy/FleetwardOperator")
    tab = new_tab()
    tab.sign_in("leaver", PASSWORD)
    tab.page.wait_for_url("**/console/fleet")
    page = tab.open("/mqtt")
    page.get_by_label("Topic filter").fill("a")
    page.get_by_role("button", name="Subscribe", exact=True).click()
    expect(page.get_by_role("button", name="Unsubscribe from a")).to_be_visible()
    iam.delete_login_profile(UserName="leaver")
    page.wait_for_url("**/console/sign-in**")


def test_signing_in_makes_a_new_session(console_server: RunningServer) -> None:
    """A token that was planted before signing in is worth nothing, and signing in anew ends the session before."""
    base = console_server.info.endpoint_url
    form = {"name": ROOT[0], "secret": ROOT[1]}
    with httpx.Client(base_url=base, headers={"origin": base}) as client:
        client.cookies.set("fleetward-session", "planted", domain="127.0.0.1", path="/console")
        first = client.post("/console/sign-in", data=form).headers["set-cookie"].split(";")[0].split("=", 1)[1]
        assert first != "planted"
        again = client.post("/console/sign-in", data=form, headers={"cookie": f"fleetward-session={first}"})
        assert again.status_code == 303
        old = httpx.get(f"{base}/console/fleet", headers={"cookie": f"fleetward-session={first}"})
        assert old.status_code == 303


def test_viewers_change_nothing() -> None:
    """The viewer's policy allows no operation that changes anything, the operator's the few for alarms."""
    allowed = {"FleetwardViewer": set[str](), "FleetwardOperator": set[str]()}
    for name, found in allowed.items():
        policy = compiled(AWS_MANAGED[f"arn:aws:iam::aws:policy/{name}"].document, name)
        assert policy is not None
        for service in operations.REGISTRY:
            for operation in models.service(service).model.operation_names:
                prefix = "iot" if service == "iot-data" else service
                action = f"{prefix}:{operation}"
                if evaluate([policy], action, "*", {}).allowed and not READS.match(operation):
                    found.add(action)
    assert allowed["FleetwardViewer"] == set()
    answers = ("fleetward:QuarantineThing", "fleetward:ReleaseThing", "iot:PutVerificationStateOnViolation")
    tasks = ("iot:StartDetectMitigationActionsTask", "iot:CancelDetectMitigationActionsTask")
    assert allowed["FleetwardOperator"] == {*answers, *tasks, "iot:Publish", "sns:Publish"}


@pytest.mark.parametrize("action", ["iot:Subscribe", "iot:GetRetainedMessage", "iot:GetThingShadow", "iot:Connect"])
def test_viewers_read_no_messages(action: str) -> None:
    """What devices say is not the viewer's to read."""
    policy = compiled(AWS_MANAGED["arn:aws:iam::aws:policy/FleetwardViewer"].document, "FleetwardViewer")
    assert policy is not None
    assert not evaluate([policy], action, "*", {}).allowed
