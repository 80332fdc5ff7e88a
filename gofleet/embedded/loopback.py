"""TCP ports on the loopback interface."""

import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack

from gofleet.embedded.errors import EmbeddedError
from gofleet.embedded.steps import Steps

HOST = "127.0.0.1"
PORT_SECONDS = 2.0


class Ports:
    """The ports of one server: the first may be given, the others are chosen, all are kept for its next start."""

    def __init__(self, given: int | None, count: int) -> None:
        self.chosen: Sequence[int] = ()
        self._given = given
        self._count = count

    def choose(self) -> bool:
        """Choose anew; False if that cannot help because the port was given."""
        self.chosen = free_ports(self._count)
        if self._given is not None:
            self.chosen = [self._given, *self.chosen[1:]]
        return self._given is None

    def become_free(self) -> Steps:
        """Wait until a server that was killed has let go of them; then, if need be, choose others.

        EmbeddedError if the given one stays taken.
        """
        if not self.chosen:
            self.choose()
        deadline = time.monotonic() + PORT_SECONDS
        while not all(is_free(port) for port in self.chosen):
            if time.monotonic() > deadline and not self.choose():
                raise EmbeddedError(
                    f"cannot listen on port {self._given}",
                    "another program listens there",
                    "stop that program, or choose another port",
                )
            yield


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on now, all different. Another program may take one before you do."""
    with ExitStack() as stack:
        links = [stack.enter_context(socket.socket()) for _ in range(count)]
        for link in links:
            link.bind((HOST, 0))
        return [int(link.getsockname()[1]) for link in links]


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` now; closed connections that linger do not count."""
    with socket.socket() as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            link.bind((HOST, port))
        except OSError:
            return False
        return True


def ask(port: int, question: bytes, *, seconds: float = 1.0, enough: int = 1) -> bytes:
    """What a server answers to `question`: at least `enough` bytes unless it closes first; empty if there is none."""
    answer = b""
    try:
        with socket.create_connection((HOST, port), timeout=seconds) as link:
            link.sendall(question)
            while len(answer) < enough and (more := link.recv(65536)):
                answer += more
    except OSError:
        return b""
    return answer
