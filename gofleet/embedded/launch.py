"""Launcher script: switches the user, sets the umask and the parent-death signal, and executes a server.

Usage: `python -I -S launch.py PARENT SIGNAL USER DIRECTORY COMMAND...`. It is a separate script because a `preexec_fn`
runs Python between fork and exec, which may deadlock in a program that has threads. It imports only the standard
library.

The kernel sends SIGNAL when the *thread* that started this process ends, not when the parent process ends. Therefore
servers are started from the main thread.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

CURRENT_USER = "self"
USER_NAMESPACE = "namespace"
"""A user namespace in which root is user 65534 (nobody), for PostgreSQL, which refuses to run as root."""
NOBODY_UID = 65534

LAUNCH_FAILED = 126
PRIVATE_UMASK = 0o077
CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1


def switch_user(user: str) -> None:
    """Switch to `user`: CURRENT_USER, USER_NAMESPACE, or a numeric user id."""
    if user == CURRENT_USER:
        return
    if user == USER_NAMESPACE:
        enter_user_namespace()
        return
    os.setgroups([])
    os.setgid(int(user))
    os.setuid(int(user))


def enter_user_namespace() -> None:
    """Become user 65534 inside a new namespace; files on disk still belong to root, so no chown is needed."""
    uid, gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER):
        raise OSError(ctypes.get_errno(), "cannot create a user namespace")
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{NOBODY_UID} {uid} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{NOBODY_UID} {gid} 1", encoding="ascii")


def set_parent_death_signal(parent: int, number: int) -> None:
    """Make the kernel send the signal `number` when `parent` dies. Only on Linux; no effect elsewhere."""
    if sys.platform != "linux":
        return
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # the parent died before prctl, so no signal would be sent
        raise SystemExit(LAUNCH_FAILED)


def exec_server(parent: str, number: str, user: str, directory: str, *command: str) -> None:
    """Execute `command` in `directory`; on failure print the reason to stderr and exit with LAUNCH_FAILED."""
    os.umask(PRIVATE_UMASK)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # background jobs of a shell ignore SIGINT
    try:
        switch_user(user)  # first, because a change of user clears the parent-death signal
        set_parent_death_signal(int(parent), int(number))
        os.chdir(directory)
        os.execv(command[0], command)  # noqa: S606  no shell is the point
    except OSError as error:
        sys.stderr.write(f"cannot launch {command[0]} in {directory} as {user}: {error}\n")
        raise SystemExit(LAUNCH_FAILED) from error


if __name__ == "__main__":
    exec_server(*sys.argv[1:])
