"""The addresses on which the roles listen, checked before anything is started."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Collection, Iterator
from typing import NamedTuple

from gofleet.first_contact import StartError
from gofleet.settings import Settings

NEXT_PORTS = 20
"""Number of following ports tried when the port is the default."""
WILDCARDS = {"", "0.0.0.0", "::"}  # noqa: S104  recognised here


class Listener(NamedTuple):
    """A listening socket: the names of its settings, their values, and whether the next free port serves as well."""

    host_setting: str
    port_setting: str
    host: str
    port: int
    next_port_serves: bool = False


def listeners(settings: Settings, roles: Collection[str]) -> Iterator[Listener]:
    """The listening sockets of the roles."""
    web, fleet, telemetry = settings.web, settings.fleet, settings.telemetry
    if "api" in roles:
        yield Listener("WEB_SERVER_HOST", "WEB_SERVER_PORT", web.host, web.port)
    if "fleet" in roles:
        yield Listener("GRPC_HOST", "GRPC_PORT", fleet.listen_host, fleet.port)
    # In development several roles run on one machine.
    moves = not settings.given("METRICS_PORT")
    yield Listener("METRICS_HOST", "METRICS_PORT", telemetry.metrics_host, telemetry.metrics_port, moves)


def check_listeners(settings: Settings, roles: Collection[str]) -> None:
    """`StartError` that names the settings of an address on which the roles could not listen."""
    checked = list[Listener]()
    for listener in listeners(settings, roles):
        for other in checked:
            if other.port == listener.port and (other.host == listener.host or {other.host, listener.host} & WILDCARDS):
                names = f"{other.port_setting} and {listener.port_setting}"
                raise StartError(f"{names} are the same", f"both are {other.port}", "set one of them to another port")
        check_listener(listener)
        checked.append(listener)


def check_listener(listener: Listener) -> None:
    """As `check_listeners` for one."""
    host_setting, port_setting, host, port, next_port_serves = listener
    error = bind_error(host, free_port(host, port) if next_port_serves else port)
    if error is None:
        return
    address = f"{host_setting}={host}, {port_setting}={port}"
    if error.errno == errno.EADDRINUSE:
        why = f"another program listens there ({address})"
        raise StartError(f"{port_setting}={port} is in use", why, f"stop it, or set {port_setting} to another port")
    why = f"{error.strerror or error} ({address})"
    fix = f"set {host_setting} to an address of this machine, and {port_setting} to a port above 1023"
    raise StartError(f"cannot listen on {host} port {port}", why, fix)


def bind_error(host: str, port: int) -> OSError | None:
    """Why no server could listen there now; None if one could. Connections in TIME_WAIT do not count."""
    try:
        # "" is every address of this machine, as for the servers themselves.
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, *_, address = found[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            if os.name == "posix":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return error
    return None


def free_port(host: str, first: int) -> int:
    """The first free port from `first` on; `first` itself if none of the following ones is free."""
    ports = range(first, first + NEXT_PORTS)
    return next((port for port in ports if bind_error(host, port) is None), first)
