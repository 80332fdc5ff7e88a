"""Become a server: take its identity, tie its life to our parent's, and exec it.

Run as a script of its own (`python -I -S launch.py PARENT SIGNAL WHO DIRECTORY COMMAND...`) because a
`preexec_fn` runs Python between fork and exec, which may deadlock in a program that has threads.
Imports the standard library only.

The kernel sends SIGNAL when the *thread* that started us ends, not the process: start servers from a
thread that lives as long as they should, which is the main thread.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

AS_WE_ARE = "self"
IN_NAMESPACE = "namespace"
"""A user namespace in which root is 65534 (nobody): for PostgreSQL, which refuses to run as root."""
NOBODY = 65534

CANNOT_LAUNCH = 126
CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1


def become(who: str) -> None:
    """Take the identity `who`: AS_WE_ARE, IN_NAMESPACE, or a user id in digits."""
    if who == AS_WE_ARE:
        return
    if who == IN_NAMESPACE:
        enter_namespace()
        return
    os.setgroups([])
    os.setgid(int(who))
    os.setuid(int(who))


def enter_namespace() -> None:
    """Appear as 65534 to ourselves; on disk our files stay root's, so nothing is chowned."""
    uid, gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER):
        raise OSError(ctypes.get_errno(), "a user namespace was refused")
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{NOBODY} {uid} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{NOBODY} {gid} 1", encoding="ascii")


def die_with(parent: int, number: int) -> None:
    """Ask for the signal `number` when `parent` dies, however it dies. Linux only; elsewhere nothing."""
    if sys.platform != "linux":
        return
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it died before we asked, so no signal will come
        raise SystemExit(CANNOT_LAUNCH)


def main(parent: str, number: str, who: str, directory: str, *command: str) -> None:
    """Exec `command` in `directory`; on failure say why on stderr and exit with CANNOT_LAUNCH."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background job ignores it, and we would inherit that
    try:
        become(who)  # first: a change of identity takes back the death signal
        die_with(int(parent), int(number))
        os.chdir(directory)
        os.execv(command[0], command)  # noqa: S606  no shell is the point
    except OSError as error:
        sys.stderr.write(f"cannot launch {command[0]} in {directory} as {who}: {error}\n")
        raise SystemExit(CANNOT_LAUNCH) from error


if __name__ == "__main__":
    main(*sys.argv[1:])
