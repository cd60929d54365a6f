"""Started instead of bubblewrap where the host is root: makes the interpreter's folders readable, gives up root, becomes bubblewrap.

Limits on threads do not hold for root, not even in a user namespace, so bubblewrap runs under a number that nobody else has.
That user may not enter a folder such as /root: the folders are mounted once more, in a mount namespace of this process, where it can.
"""

from __future__ import annotations

import os

from . import kernel


def main(user: str, stage: str, count: str, *words: str) -> None:
    """Become `user` with `count` folders mounted below `stage`, and run the words after them. Raises OSError."""
    folders, command = words[: int(count)], words[int(count) :]
    kernel.unshare(kernel.NEWNS)
    kernel.mount(b"none", b"/", None, kernel.REC | kernel.PRIVATE)
    kernel.mount(b"tmpfs", os.fsencode(stage), b"tmpfs", kernel.NOSUID | kernel.NODEV, b"size=64k,mode=755")
    for number, folder in enumerate(folders):
        os.mkdir(f"{stage}/{number}")
        kernel.mount(os.fsencode(folder), os.fsencode(f"{stage}/{number}"), None, kernel.BIND | kernel.REC)
    os.setgroups([])
    os.setresgid(int(user), int(user), int(user))
    os.setresuid(int(user), int(user), int(user))
    os.execve(command[0], command, {})
