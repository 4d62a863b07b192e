"""Login by a token: a cookie for browsers, a header for programs."""

import hashlib
import hmac
from urllib.parse import parse_qs, quote, urlsplit
from wsgiref.types import WSGIEnvironment

from study.web import _login_page
from study.web._wsgi import Answer, Headers, json_answer, refusal, see_other, whole

COOKIE = "studyhall"
COOKIE_AGE_S = 30 * 24 * 3600
MOST_FORM_BYTES = 4096
WRONG = "this is not the token; `studyhall dashboard` prints it in a terminal, or the file in which it lies"


class Login:
    """Knows who has the token, and lets visitors give it.

    A token is taken from a form or an ``Authorization`` header, never from an address, which is logged and passed on.
    """

    def __init__(self, token: str) -> None:
        """Ask for this token."""
        self._token = token.encode()
        self._cookie = hmac.new(self._token, b"studyhall dashboard cookie", hashlib.sha256).hexdigest()

    def knows(self, environ: WSGIEnvironment) -> bool:
        """Whether a request comes with the cookie, or the token itself as ``Authorization: Bearer``."""
        scheme, _, given = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._is_token(given.strip().encode("latin-1"))
        return hmac.compare_digest(_cookie(environ).encode("latin-1"), self._cookie.encode())

    def answer(self, environ: WSGIEnvironment) -> Answer | None:
        """The login's own pages; None if the request is for another."""
        path, method = environ.get("PATH_INFO", "") or "/", environ["REQUEST_METHOD"]
        if path == "/login" and method == "POST":
            return self._log_in(environ)
        if method not in ("GET", "HEAD"):
            return None
        if path == "/login.js":
            return whole(
                "200 OK", "text/javascript; charset=UTF-8", _login_page.SCRIPT.encode(), ("Cache-Control", "no-cache")
            )
        if path == "/logout":
            return see_other("/login", ("Set-Cookie", f"{_set_cookie(environ, '')}; Max-Age=0"))
        if path == "/login":
            wanted = parse_qs(environ.get("QUERY_STRING", "")).get("next", [""])[-1]
            return _page("200 OK", wanted, known=self.knows(environ))
        if path == "/":  # also for those who are logged in: the page takes the token out of the address bar
            return _page("200 OK", "", known=self.knows(environ))
        return None

    def challenge(self, environ: WSGIEnvironment) -> Answer:
        """What a visitor without the token gets: a page the login, a program the reason."""
        path = environ.get("PATH_INFO", "") or "/"
        is_page = "text/html" in environ.get("HTTP_ACCEPT", "") and not path.startswith(("/api/", "/static/"))
        if is_page and environ["REQUEST_METHOD"] == "GET":
            query = environ.get("QUERY_STRING", "")
            return see_other(f"/login?next={quote(f'{path}?{query}' if query else path, safe='/')}")
        reason = "not logged in; open /login in a browser, or send the header `Authorization: Bearer TOKEN`"
        return refusal("401 Unauthorized", reason, ("WWW-Authenticate", 'Bearer realm="studyhall"'))

    def _log_in(self, environ: WSGIEnvironment) -> Answer:
        form = _form(environ)
        wanted, wants_json = form.get("next", ""), "application/json" in environ.get("HTTP_ACCEPT", "")
        if not self._is_token(form.get("token", "").encode()):
            if wants_json:
                return refusal("403 Forbidden", WRONG)
            return _page("403 Forbidden", wanted, known=False, problem=WRONG)
        cookie = ("Set-Cookie", f"{_set_cookie(environ, self._cookie)}; Max-Age={COOKIE_AGE_S}")
        if wants_json:
            return json_answer("200 OK", {}, ("Cache-Control", "no-store"), cookie)
        return see_other(_own(wanted), cookie)

    def _is_token(self, given: bytes) -> bool:
        return hmac.compare_digest(given, self._token)


def _page(status: str, wanted: str, *, known: bool, problem: str = "") -> Answer:
    headers: Headers = [("Content-Security-Policy", _login_page.POLICY), ("Cache-Control", "no-store")]
    body = _login_page.page(_own(wanted), known=known, problem=problem)
    return whole(status, "text/html; charset=UTF-8", body, *headers)


def _own(wanted: str) -> str:
    """A path of this server, whatever was asked for; the login itself leads to the dashboard."""
    parts = urlsplit(wanted)
    foreign = parts.scheme or parts.netloc or not wanted.startswith("/") or wanted.startswith(("//", "/\\"))
    if foreign or not wanted.isprintable() or parts.path in ("/", "/login", "/logout"):
        return "/dashboard/"
    return wanted


def _cookie(environ: WSGIEnvironment) -> str:
    # `http.cookies` gives up at another site's odd cookie, and all ports of a host share theirs.
    for item in environ.get("HTTP_COOKIE", "").split(";"):
        name, _, value = item.partition("=")
        if name.strip() == COOKIE:
            return str(value).strip()
    return ""


def _set_cookie(environ: WSGIEnvironment, value: str) -> str:
    secure = "; Secure" if environ.get("HTTP_X_FORWARDED_PROTO", "").strip().lower() == "https" else ""
    return f"{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict{secure}"


def _form(environ: WSGIEnvironment) -> dict[str, str]:
    """The fields of a form, none if it is too long."""
    try:
        length = int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError:
        length = 0
    if not 0 < length <= MOST_FORM_BYTES:
        return {}
    fields = parse_qs(environ["wsgi.input"].read(length).decode("utf-8", "replace"), max_num_fields=10)
    return {name: values[-1] for name, values in fields.items()}
