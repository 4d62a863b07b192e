"""The guard before the dashboard: who gets in, what may be changed, what a browser is told."""

import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from browsing import Reply, ask

from storage.errors import ConfigError, DatabaseError
from study.web._wsgi import Answer, asked, whole
from study.web.guard import Guard, GuardSettings
from study.web.token import kept_token, read_token, state_folder

TOKEN = "correct-horse-battery-staple"


def behind(environ: WSGIEnvironment) -> Answer:
    """Something that answers everybody."""
    return whole("200 OK", "application/json", b'{"answer": "42"}')


def guard(token: str | None = TOKEN, **settings: bool) -> Guard:
    return Guard(GuardSettings(token, **settings), behind)


def logged_in(application: Guard, token: str = TOKEN, **headers: str) -> Reply:
    body = urlencode({"token": token, "next": "/dashboard/studies/1"}).encode()
    return ask(application, "/login", "POST", body, **headers)


def cookie(reply: Reply) -> str:
    return reply.headers["set-cookie"].partition(";")[0]


@pytest.mark.parametrize("path", ["/api/studies", "/static/bundle.js", "/artifacts/1/2/ab", "/csv/1", "/studyhall"])
def test_nobody_gets_anything_without_the_token(path: str) -> None:
    reply = ask(guard(), path)

    assert reply.status == 401
    assert "Authorization: Bearer" in reply.tree["reason"]


def test_a_browser_is_led_to_the_login_and_the_page_it_wanted_is_kept() -> None:
    reply = ask(guard(), "/dashboard/studies/1?tab=2", accept="text/html,*/*")
    login = ask(guard(), reply.headers["location"])

    assert reply.status == 303
    assert reply.headers["location"] == "/login?next=/dashboard/studies/1%3Ftab%3D2"
    assert 'name="next" value="/dashboard/studies/1?tab=2"' in login.text


def test_the_token_in_the_form_gives_a_cookie_that_lets_in_and_is_not_the_token() -> None:
    application = guard()

    reply = logged_in(application)

    assert (reply.status, reply.headers["location"]) == (303, "/dashboard/studies/1")
    given = reply.headers["set-cookie"]
    assert TOKEN not in given
    assert all(word in given for word in ("HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=2592000"))
    assert "Secure" not in given
    assert ask(application, "/api/studies", cookie=f"other={{odd; {cookie(reply)}; z=1").status == 200


def test_the_cookie_is_for_https_only_when_the_visitor_came_by_https() -> None:
    reply = logged_in(guard(), x_forwarded_proto="https")

    assert "; Secure" in reply.headers["set-cookie"]


def test_a_cookie_is_worth_nothing_once_the_token_is_another() -> None:
    given = cookie(logged_in(guard()))

    assert ask(guard("another-token-of-some-length"), "/api/studies", cookie=given).status == 401


@pytest.mark.parametrize("token", ["", "wrong", TOKEN + "x", "ключ", TOKEN.upper()])
def test_another_token_is_refused(token: str) -> None:
    reply = logged_in(guard(), token)

    assert reply.status == 403
    assert "set-cookie" not in reply.headers
    assert "this is not the token" in reply.text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": f"Bearer {TOKEN}"}, 200),
        ({"authorization": f"bearer {TOKEN}"}, 200),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": f"Basic {TOKEN}"}, 401),
        ({"cookie": f"studyhall={TOKEN}"}, 401),
        ({"cookie": "studyhall=é"}, 401),
    ],
)
def test_programs_send_the_token_as_a_bearer(headers: dict[str, str], status: int) -> None:
    assert ask(guard(), "/api/studies", **headers).status == status


@pytest.mark.parametrize("path", [f"/api/studies?token={TOKEN}", f"/login?token={TOKEN}", f"/?token={TOKEN}"])
def test_a_token_in_an_address_is_not_accepted(path: str) -> None:
    reply = ask(guard(), path)

    assert "set-cookie" not in reply.headers
    assert "42" not in reply.text
    assert TOKEN not in reply.text


def test_logging_out_takes_the_cookie_back() -> None:
    reply = ask(guard(), "/logout")

    assert (reply.status, reply.headers["location"]) == (303, "/login")
    assert "studyhall=;" in reply.headers["set-cookie"]
    assert "Max-Age=0" in reply.headers["set-cookie"]


@pytest.mark.parametrize("wanted", ["//evil.example/", "https://evil.example/", "/\\evil.example", "javascript:1", ""])
def test_the_login_leads_to_no_other_site(wanted: str) -> None:
    body = urlencode({"token": TOKEN, "next": wanted}).encode()

    assert ask(guard(), "/login", "POST", body).headers["location"] == "/dashboard/"


def test_the_login_page_shows_what_it_is_given_as_text() -> None:
    page = ask(guard(), '/login?next=/"><script>alert(1)</script>').text

    assert "<script>alert" not in page


def test_a_form_that_is_too_long_is_not_read() -> None:
    body = urlencode({"token": TOKEN, "padding": "x" * 10_000}).encode()

    assert ask(guard(), "/login", "POST", body).status == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "MOVE"])
def test_nothing_is_changed_unless_that_was_allowed(method: str) -> None:
    reply = ask(guard(None), "/api/studies/1", method)

    assert reply.status == 403
    assert "--allow-write" in reply.tree["reason"]


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 200),
        ("http://127.0.0.1:8080", 200),
        ("http://127.0.0.1:9", 403),
        ("http://evil.example", 403),
        ("null", 403),
    ],
)
def test_what_is_allowed_may_not_come_from_another_sites_page(origin: str | None, status: int) -> None:
    headers = {} if origin is None else {"origin": origin}

    assert ask(guard(None, allow_write=True), "/api/studies/1", "DELETE", **headers).status == status


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:1", 200),
        ("127.0.0.1", 200),
        ("[::1]:8080", 200),
        ("LOCALHOST", 200),
        ("evil.example:8080", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("[", 403),
        ("", 403),
    ],
)
def test_without_a_login_only_this_machines_own_names_are_answered_to(host: str, status: int) -> None:
    assert ask(guard(None), "/api/studies", host=host).status == status


def test_other_names_are_answered_to_behind_a_login_or_on_another_address() -> None:
    headers = {"host": "dash.example.org", "authorization": f"Bearer {TOKEN}"}

    assert ask(guard(), "/api/studies", **headers).status == 200
    assert ask(guard(None, loopback=False), "/api/studies", **headers).status == 200


def test_every_answer_tells_the_browser_not_to_guess_frame_or_tell() -> None:
    for reply in (ask(guard(), "/api/studies"), ask(guard(), "/login"), ask(guard(None), "/artifacts/1/ab")):
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["x-frame-options"] == "SAMEORIGIN"
        assert reply.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        ("image/png", True),
        ("text/csv; charset=utf-8", True),
        ("text/html", False),
        ("TEXT/HTML", False),
        ("image/svg+xml", False),
        ("application/xml", False),
        ("", False),
    ],
)
def test_a_trials_file_runs_nothing_and_only_harmless_kinds_are_shown(kind: str, shown: bool) -> None:
    def file(environ: WSGIEnvironment) -> Answer:
        return whole("200 OK", kind, b"<script>", ("Access-Control-Allow-Origin", "*"))

    reply = ask(Guard(GuardSettings(None), file), "/artifacts/1/2/ab")

    assert reply.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert "access-control-allow-origin" not in reply.headers
    assert reply.headers.get("content-disposition") == (None if shown else "attachment")


def test_long_texts_are_compressed_for_whoever_reads_gzip() -> None:
    text = b'{"answer": "' + b"4" * 5000 + b'"}'

    def long(environ: WSGIEnvironment) -> Answer:
        return whole("200 OK", "application/json", text)

    application = Guard(GuardSettings(None), long)
    reply = ask(application, "/api/meta", accept_encoding="br, gzip")

    assert len(reply.body) < 200
    assert reply.headers["content-length"] == str(len(reply.body))
    assert reply.plain == text
    assert ask(application, "/api/meta", accept_encoding="gzip;q=0").body == text


def test_a_failure_is_an_answer() -> None:
    def broken(environ: WSGIEnvironment) -> Answer:
        raise DatabaseError("database x: away") if environ["PATH_INFO"] == "/database" else ZeroDivisionError

    application = Guard(GuardSettings(None), broken)

    assert ask(application, "/database").status == 503
    assert ask(application, "/database").tree == {"reason": "database x: away"}
    assert ask(application, "/other").status == 500


def test_an_application_that_begins_its_answer_late_is_told_so() -> None:
    def late(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        yield b""

    with pytest.raises(RuntimeError, match="without calling start_response"):
        asked(late, {})


def test_a_short_token_is_refused() -> None:
    with pytest.raises(ConfigError, match="has 6 characters; give at least 16"):
        GuardSettings("secret")


def test_the_users_token_is_made_once_for_the_user_alone(tmp_path: Path) -> None:
    token, file = kept_token(tmp_path / "state" / "studyhall")

    assert kept_token(tmp_path / "state" / "studyhall") == (token, file)
    assert len(token) >= 32
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [other.name for other in file.parent.iterdir()] == ["dashboard-token"]


def test_a_token_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    _, file = kept_token(tmp_path)
    file.chmod(0o644)

    with pytest.raises(ConfigError, match=r"others may read .* \(mode 644\)"):
        kept_token(tmp_path)


@pytest.mark.parametrize(("content", "reason"), [(None, "No such file"), (b" \n", "is empty"), (b"\xff", "not text")])
def test_a_token_file_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None, reason: str) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(ConfigError, match=f"{file}.*{reason}|{file} {reason}"):
        read_token(file)


@pytest.mark.parametrize(
    ("environment", "folder"), [({"XDG_STATE_HOME": "/s"}, "/s/studyhall"), ({"XDG_STATE_HOME": "relative"}, None)]
)
def test_state_lies_where_the_desktop_says(environment: dict[str, Any], folder: str | None) -> None:
    assert state_folder(environment) == (Path(folder) if folder else Path.home() / ".local/state/studyhall")
