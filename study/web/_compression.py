"""gzip for text that is long enough to gain by it."""

import gzip
from wsgiref.types import WSGIEnvironment

from study.web._wsgi import Answer, accepts_gzip

LEAST = 1024
"""Bytes from which it is worth it."""
LEVEL = 4
TEXTS = ("application/json", "application/javascript", "text/")


def compress(environ: WSGIEnvironment, answer: Answer) -> Answer:
    """Compress an answer if the client accepts it and the answer is text that is not compressed yet."""
    if not _is_plain_text(answer) or not answer.status.startswith("200"):
        return answer
    answer.set("Vary", "Accept-Encoding")
    if not accepts_gzip(environ) or environ["REQUEST_METHOD"] == "HEAD":
        return answer
    body = b"".join(answer.body)
    answer.close()
    if len(body) >= LEAST:
        body = gzip.compress(body, LEVEL, mtime=0)
        answer.set("Content-Encoding", "gzip")
    answer.set("Content-Length", str(len(body)))
    answer.body = [body]
    return answer


def _is_plain_text(answer: Answer) -> bool:
    kind = answer.header("Content-Type").lower()
    return kind.startswith(TEXTS) and not answer.header("Content-Encoding")
