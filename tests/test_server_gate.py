from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from gliamap.errors import ConfigError
from gliamap.server import session
from gliamap.server.app import make_app
from gliamap.server.refusal import Refused
from gliamap.server.session import Sessions
from gliamap.server.settings import Limits
from servers import HOST, SAME, new_case, settings_in, signed_in

PASSWORD = "correct horse battery"


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[TestClient]:
    """Somebody without a cookie."""
    with TestClient(make_app(settings_in(tmp_path)), base_url=HOST) as client:
        yield client


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with signed_in(settings_in(tmp_path)) as client:
        yield client


def link(client: TestClient) -> str:
    return f"/enter?token={client.app.state.desk.sessions.link()}"  # type: ignore[attr-defined]


# Who may come in


@pytest.mark.parametrize("path", ["/api/cases", "/api/info", "/api/models", "/api/events", "/api/browse", "/nowhere"])
def test_nothing_is_told_without_a_session(stranger: TestClient, path: str) -> None:
    answer = stranger.get(path)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "signed-out"


def test_nothing_is_changed_without_a_session(stranger: TestClient) -> None:
    assert stranger.post("/api/cases", headers=SAME).status_code == 401
    assert stranger.put("/api/cases/x/files/1", content=b"x", headers=SAME).status_code == 401


def test_link_signs_in_once_by_a_cookie_that_no_script_and_no_other_site_has(stranger: TestClient) -> None:
    way_in = link(stranger)
    cookie = stranger.get(way_in).headers["set-cookie"]
    assert re.fullmatch(r"gliamap-8000=[\w-]{43}; HttpOnly; Path=/; SameSite=strict", cookie)
    assert stranger.get("/api/cases").status_code == 200
    stranger.cookies.clear()
    assert stranger.get(way_in).status_code == 403
    assert stranger.get("/api/cases").status_code == 401


def test_link_is_not_spent_on_a_browser_that_looks_ahead(stranger: TestClient) -> None:
    way_in = link(stranger)
    assert stranger.get(way_in, headers={"Sec-Purpose": "prefetch"}).status_code == 403
    assert stranger.get(way_in).status_code == 200


def test_sign_in_page_leads_on_by_itself_so_that_the_strict_cookie_is_sent(stranger: TestClient) -> None:
    answer = stranger.get(link(stranger), follow_redirects=False)
    assert answer.status_code == 200
    assert '<meta http-equiv="refresh" content="0;url=/">' in answer.text


@pytest.mark.parametrize(
    "cookie", ["gliamap-8000=", "gliamap-8000=guess", "gliamap-9000=x", 'gliamap-8000="a\\"', ";;="]
)
def test_wrong_cookie_is_no_session(stranger: TestClient, cookie: str) -> None:
    assert stranger.get("/api/cases", headers={"Cookie": cookie}).status_code == 401


@pytest.mark.parametrize("others", ['a={"x": 1}', "two words=1", "a=\xe9", 'a="', "$Version=1", "gliamap-8000=theirs"])
def test_cookies_of_other_apps_on_this_machine_are_no_hindrance(client: TestClient, others: str) -> None:
    cookies = f"{others}; gliamap-8000={client.cookies['gliamap-8000']}".encode("latin-1")
    client.cookies.clear()
    assert client.get("/api/cases", headers={"Cookie": cookies}).status_code == 200  # type: ignore[arg-type]


def test_logout_ends_the_session(client: TestClient) -> None:
    cookies = dict(client.cookies)
    assert client.post("/api/logout").status_code == 204
    client.cookies.update(cookies)
    assert client.get("/api/cases").status_code == 401


def test_sessions_and_links_end() -> None:
    now = [0.0]
    sessions = Sessions(None, clock=lambda: now[0])
    cookie = sessions.enter(sessions.link())
    now[0] = 11 * 3600
    assert sessions.knows(cookie)
    now[0] = 13 * 3600
    assert not sessions.knows(cookie)
    first = sessions.link()
    for _ in range(16):
        sessions.link()
    with pytest.raises(Refused, match="used up"):
        sessions.enter(first)


# Where requests come from


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example:8000",
        "evil.example@127.0.0.1",
        "localhost.",
        "",
        "127.0.0.1/x",
        "10.0.0.1",
    ],
)
def test_foreign_host_is_refused(client: TestClient, host: str) -> None:
    assert client.get("/api/cases", headers={"Host": host}).status_code == 403
    assert client.get("/", headers={"Host": host}).status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000", "[::1]:8000", "LOCALHOST:9999"])
def test_own_names_are_let_in_whatever_the_port_of_the_tunnel(client: TestClient, host: str) -> None:
    assert client.get("/api/cases", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9000"},
        {"Origin": "https://127.0.0.1:8000"},
        {"Origin": HOST, "Sec-Fetch-Site": "cross-site"},
        {"Origin": HOST, "Sec-Fetch-Site": "same-site"},
        {"Origin": HOST, "Sec-Fetch-Site": "none"},
    ],
)
def test_changes_from_elsewhere_are_refused(client: TestClient, headers: dict[str, str]) -> None:
    client.headers.clear()
    assert client.post("/api/cases", headers=headers).json()["error"]["code"] == "forbidden"
    assert client.get("/api/cases").json() == {"cases": []}


def test_changes_that_do_not_say_where_they_come_from_are_refused(client: TestClient) -> None:
    client.headers.clear()
    assert client.post("/api/cases").status_code == 403
    assert client.delete("/api/cases/x").status_code == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_reading_from_another_site_is_refused_and_so_is_another_port_of_this_machine(
    client: TestClient, site: str
) -> None:
    client.headers.clear()
    assert client.get("/api/cases", headers={"Sec-Fetch-Site": site}).status_code == 403
    assert client.get("/static/app.js", headers={"Sec-Fetch-Site": site}).status_code == 403
    assert client.get("/", headers={"Sec-Fetch-Site": site}).status_code in (200, 401)


@pytest.mark.parametrize("method", ["OPTIONS", "HEAD", "TRACE", "PROPFIND"])
def test_other_methods_are_refused_and_nothing_is_said_of_foreign_origins(client: TestClient, method: str) -> None:
    headers = {"Origin": "http://evil.example", "Access-Control-Request-Method": "PUT"}
    answer = client.request(method, "/api/cases", headers=headers)
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_web_sockets_are_closed(client: TestClient) -> None:
    with pytest.raises(WebSocketDisconnect) as caught, client.websocket_connect("/api/events"):
        pass
    assert caught.value.code == 1008


# What answers carry


@pytest.mark.parametrize("path", ["/", "/api/cases", "/nowhere", "/static/nowhere.js", "/enter"])
def test_every_answer_is_guarded(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy and "*" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert headers["cross-origin-resource-policy"] == "same-origin"


def test_docs_are_off(client: TestClient) -> None:
    assert [client.get(path).status_code for path in ("/docs", "/redoc", "/openapi.json")] == [404] * 3


@pytest.mark.parametrize(
    "name", ["..%2fapi.py", "%2e%2e/api.py", "..\\api.py", "app.py", ".hidden.js", "x%00.js", "__init__.py"]
)
def test_static_files_are_those_of_the_page_only(client: TestClient, name: str) -> None:
    assert client.get(f"/static/{name}").status_code == 404


# The password


@pytest.fixture
def networked(tmp_path: Path) -> Iterator[TestClient]:
    settings = settings_in(tmp_path, host="0.0.0.0", password=PASSWORD)
    with TestClient(make_app(settings), base_url="http://192.168.1.5:8000") as client:
        client.headers["Origin"] = "http://192.168.1.5:8000"
        yield client


@pytest.mark.parametrize("password", [None, "", "short"])
def test_other_interfaces_need_a_long_password(tmp_path: Path, password: str | None) -> None:
    with pytest.raises(ConfigError, match="password"):
        settings_in(tmp_path, host="0.0.0.0", password=password)


def test_password_signs_in(networked: TestClient) -> None:
    assert networked.get("/api/cases").status_code == 401
    answer = networked.post("/api/login", json={"password": PASSWORD})
    assert answer.status_code == 204
    assert "HttpOnly" in answer.headers["set-cookie"] and "SameSite=strict" in answer.headers["set-cookie"]
    assert networked.get("/api/cases").status_code == 200


def test_name_that_points_here_is_refused_where_addresses_are_not(networked: TestClient) -> None:
    assert networked.get("/", headers={"Host": "evil.example:8000"}).status_code == 403
    assert networked.get("/").status_code == 401


@pytest.fixture
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A password is hashed in no time."""
    monkeypatch.setattr(session, "_N", 2)


@pytest.mark.usefixtures("quick_hashes")
def test_wrong_passwords_are_counted_and_then_even_the_right_one_waits(networked: TestClient) -> None:
    tries = [networked.post("/api/login", json={"password": f"guess {n}"}).status_code for n in range(5)]
    assert tries == [403] * 5
    answer = networked.post("/api/login", json={"password": PASSWORD}, headers={"X-Forwarded-For": "1.2.3.4"})
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 61


@pytest.mark.usefixtures("quick_hashes")
def test_tries_from_many_addresses_are_counted_together() -> None:
    now = [0.0]
    sessions = Sessions(PASSWORD, clock=lambda: now[0])
    for n in range(30):
        with pytest.raises(Refused, match="not the password"):
            asyncio.run(sessions.login("guess", f"10.0.0.{n}"))
    with pytest.raises(Refused, match="too often"):
        asyncio.run(sessions.login(PASSWORD, "10.0.1.1"))
    now[0] = 61.0
    assert sessions.knows(asyncio.run(sessions.login(PASSWORD, "10.0.1.1")))


@pytest.mark.usefixtures("quick_hashes")
def test_tries_at_the_same_time_are_counted_all_the_same() -> None:
    async def run() -> list[str]:
        sessions = Sessions(PASSWORD)
        tries = (sessions.login(f"guess {n}", "10.0.0.1") for n in range(50))
        return [str(one.code) for one in await asyncio.gather(*tries, return_exceptions=True)]  # type: ignore[union-attr]

    codes = asyncio.run(run())
    assert (codes.count("wrong-password"), codes.count("too-often")) == (5, 45)


def test_no_password_opens_an_app_without_one(client: TestClient) -> None:
    for said in ("", "None", "null"):
        assert client.post("/api/login", json={"password": said}).status_code == 403


# Requests that make no sense


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{",
        b"null",
        b'{"title": 1}',
        b'{"title": "\\ud800"}',
        b'{"other": 1}',
        b"[" * 50_000,
        b'{"title": NaN}',
        b"\xff",
    ],
)
def test_bodies_that_do_not_fit_are_answered(client: TestClient, body: bytes) -> None:
    answer = client.post("/api/cases", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "bad-request"


def test_large_bodies_are_refused_at_the_limit_declared_or_not(client: TestClient) -> None:
    body = b'{"title": "' + b"x" * 2**17 + b'"}'
    assert client.post("/api/cases", content=body).status_code == 413
    assert client.post("/api/cases", content=iter([body])).status_code == 413


def test_strangers_cannot_keep_the_app_waiting_by_a_byte_now_and_then(tmp_path: Path) -> None:
    said: list[MutableMapping[str, Any]] = []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.05)
        return {"type": "http.request", "body": b" ", "more_body": True}

    async def send(message: MutableMapping[str, Any]) -> None:
        said.append(message)

    headers = [(b"host", b"127.0.0.1:8000"), (b"origin", HOST.encode())]
    scope = {"type": "http", "method": "POST", "path": "/api/login", "scheme": "http", "query_string": b""}
    app = make_app(settings_in(tmp_path, limits=Limits(idle=0.2)))
    asyncio.run(asyncio.wait_for(app(scope | {"headers": headers}, receive, send), 5))
    assert said[0]["status"] == 408


def test_title_is_one_short_line(client: TestClient) -> None:
    case = new_case(client)
    change = f"/api/cases/{case['id']}"
    assert client.patch(change, json={"title": "<script>alert(1)</script>"}).json()["title"].startswith("<script>")
    for title in ("x" * 81, "two\nlines", "\u202eabc"):
        assert client.patch(change, json={"title": title}).status_code == 400


def test_unforeseen_errors_tell_nothing(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise RuntimeError("Jane Doe's scan")

    monkeypatch.setattr(client.app.state.desk, "show_all", broken)  # type: ignore[attr-defined]
    answer = client.get("/api/cases")
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "failed"
    assert "Jane" not in answer.text + caplog.text
    assert "RuntimeError" in caplog.text
