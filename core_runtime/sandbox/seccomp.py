"""Two seccomp profiles of our own, as the JSON text that a container engine takes.

`sealed` is for packs that declare no network permission: sockets of the Unix family only. `loopback` adds TCP sockets
of the two Internet families, which in a container without a network reach nothing but its own loopback device; it is
for packs that use the agent's proxy. Everything else is an allow-list (see `seccomp_calls`) whose default is EPERM.
The same profile on every engine: what Docker's own profile lets through differs from version to version. Pure; reads
no file.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache

from core_runtime.sandbox.seccomp_calls import ALWAYS

EPERM = 1
ENOSYS = 38

AF_UNIX, AF_INET, AF_INET6 = 1, 2, 10
SOCK_STREAM = 1
# The type argument is a C int whose SOCK_NONBLOCK and SOCK_CLOEXEC bits say nothing about the kind of socket.
SOCK_KIND_MASK = 0xFFFFFFFF & ~(0o4000 | 0o2000000)
IPPROTO_DEFAULT, IPPROTO_TCP = 0, 6

# CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET (sched.h): none may be asked for.
CLONE_NAMESPACES = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000

PERSONALITY_DEFAULT, PERSONALITY_QUERY = 0x0, 0xFFFFFFFF

Rule = dict[str, object]


class SeccompProfile(StrEnum):
    """Which of the two profiles a container gets."""

    SEALED = "sealed"
    LOOPBACK = "loopback"


@lru_cache(maxsize=len(SeccompProfile))
def profile_json(profile: SeccompProfile) -> str:
    """The profile as compact JSON. x86_64 and aarch64 only, without their 32-bit variants."""
    families: list[Sequence[Rule]] = [(_equal(0, AF_UNIX),)]
    if profile is SeccompProfile.LOOPBACK:
        # The protocol is pinned too: a stream socket may otherwise be SCTP or MPTCP, kernel surface that nobody needs.
        families += [
            (_equal(0, family), _masked(1, SOCK_KIND_MASK, SOCK_STREAM), _equal(2, protocol))
            for family in (AF_INET, AF_INET6)
            for protocol in (IPPROTO_DEFAULT, IPPROTO_TCP)
        ]
    rules = [
        _allow(ALWAYS),
        *(_allow(("socket",), arguments) for arguments in families),
        _allow(("socketpair",), (_equal(0, AF_UNIX),)),
        _allow(("clone",), (_masked(0, CLONE_NAMESPACES, 0),)),
        _allow(("personality",), (_equal(0, PERSONALITY_DEFAULT),)),
        _allow(("personality",), (_equal(0, PERSONALITY_QUERY),)),
        # clone3 hides its flags behind a pointer that no filter can read: libc falls back to clone on ENOSYS.
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS},
    ]
    document = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": EPERM,
        "archMap": [{"architecture": "SCMP_ARCH_X86_64"}, {"architecture": "SCMP_ARCH_AARCH64"}],
        "syscalls": rules,
    }
    return json.dumps(document, separators=(",", ":"))


def _allow(names: Sequence[str], arguments: Sequence[Rule] = ()) -> Rule:
    rule: Rule = {"names": list(names), "action": "SCMP_ACT_ALLOW"}
    return rule | {"args": list(arguments)} if arguments else rule


def _equal(index: int, value: int) -> Rule:
    return {"index": index, "value": value, "op": "SCMP_CMP_EQ"}


def _masked(index: int, mask: int, wanted: int) -> Rule:
    return {"index": index, "value": mask, "valueTwo": wanted, "op": "SCMP_CMP_MASKED_EQ"}
