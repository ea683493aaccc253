"""Entering network namespaces. Python 3.11 has no os.setns, so through the C library.

setns(2) changes the calling thread only. It is called on a thread that is kept for that, never on the event loop's: a
socket opened inside stays there, and the thread goes home at once. Nothing that runs on such a thread may rely on the
namespace it is in: should going home fail, the next visit still goes where it says.
"""

import ctypes
import fcntl
import os
from collections.abc import Callable
from typing import TypeVar

from kuryr.daemon.kernel import KernelError, NetnsGone

T = TypeVar("T")

_CLONE_NEWNET = 0x40000000
_NS_GET_NSTYPE = 0xB703  # ioctl_ns(2)


def open_netns(path: str) -> int:
    """A file descriptor of the namespace at a path, for the caller to close. Raises NetnsGone, KernelError."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NetnsGone(f"no network namespace at {path!r}: {error.strerror}") from error
    except OSError as error:  # too many open files, for example: that says nothing about the namespace
        raise KernelError(f"cannot open the network namespace {path!r}: {error.strerror}") from error
    # When the runtime has unmounted a namespace, an ordinary empty file may be left at its path.
    try:
        kind = fcntl.ioctl(fd, _NS_GET_NSTYPE)
    except OSError:
        kind = 0
    if kind == _CLONE_NEWNET:
        return fd
    os.close(fd)
    raise NetnsGone(f"{path!r} is not a network namespace")


def is_same_netns(one: int, other: int) -> bool:
    first, second = os.fstat(one), os.fstat(other)
    return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)


def visit(netns_fd: int, home_fd: int, act: Callable[[], T]) -> T:
    """`act` on this thread inside the namespace, then home. Blocking; raises NetnsGone and what `act` raises."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(netns_fd, _CLONE_NEWNET):
        raise NetnsGone(f"cannot enter the network namespace: {os.strerror(ctypes.get_errno())}")
    try:
        return act()
    finally:
        if libc.setns(home_fd, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "cannot return from a network namespace")
