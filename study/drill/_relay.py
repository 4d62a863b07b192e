"""A TCP relay before a database server, for one agent: it can cut, delay and swallow what passes."""

import contextlib
import socket
import threading
import time
from dataclasses import dataclass

CHUNK = 65_536


@dataclass(eq=False)
class _Pair:
    """One connection.

    Attributes:
        mute: Whether the server's next answer is swallowed, and the connection closed then.
    """

    client: socket.socket
    server: socket.socket
    mute: bool = False

    def close(self) -> None:
        for end in (self.client, self.server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


class Relay:
    """Listens on a free port of the loopback and passes everything on to a server."""

    def __init__(self, host: str, port: int) -> None:
        """Listen.

        Args:
            host: Of the server.
            port: Of the server.
        """
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._pairs: list[_Pair] = []
        self._held_until = 0.0
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._listener.getsockname()[1]
        return port

    def cut(self) -> None:
        """Close every connection at once; new ones are let through."""
        for pair in self._open():
            self._drop(pair)

    def mute(self) -> None:
        """Pass requests on, but swallow the next answer and close its connection."""
        for pair in self._open():
            pair.mute = True

    def delay(self, seconds: float) -> None:
        """Hold back every answer for so long."""
        self._held_until = time.monotonic() + seconds

    def close(self) -> None:
        """Listen no more, and close every connection."""
        self._listener.close()
        self.cut()

    def _open(self) -> list[_Pair]:
        with self._lock:
            return list(self._pairs)

    def _drop(self, pair: _Pair) -> None:
        with self._lock:
            if pair in self._pairs:
                self._pairs.remove(pair)
        pair.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target)
            except OSError:  # the server is away, and so are we
                client.close()
                continue
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._pass_on(_Pair(client, server))

    def _pass_on(self, pair: _Pair) -> None:
        with self._lock:
            self._pairs.append(pair)
        threading.Thread(target=self._requests, args=(pair,), daemon=True).start()
        threading.Thread(target=self._answers, args=(pair,), daemon=True).start()

    def _requests(self, pair: _Pair) -> None:
        with contextlib.suppress(OSError):
            while data := pair.client.recv(CHUNK):
                pair.server.sendall(data)
        self._drop(pair)

    def _answers(self, pair: _Pair) -> None:
        with contextlib.suppress(OSError):
            while data := pair.server.recv(CHUNK):
                time.sleep(max(0.0, self._held_until - time.monotonic()))
                if pair.mute:
                    for other in self._open():
                        other.mute = False
                    break
                pair.client.sendall(data)
        self._drop(pair)
