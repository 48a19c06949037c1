"""The two profiles refuse by default, and allow what is written down and nothing else."""

from __future__ import annotations

import json

import pytest

from core_runtime.sandbox.seccomp import CLONE_NAMESPACES, SOCK_KIND_MASK, SeccompProfile, profile_json
from core_runtime.sandbox.seccomp_calls import ALWAYS

FORBIDDEN = [
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "process_madvise",
    "kcmp",
    "pidfd_getfd",
    "userfaultfd",
    "keyctl",
    "add_key",
    "request_key",
    "bpf",
    "perf_event_open",
    "mount",
    "umount2",
    "pivot_root",
    "move_mount",
    "open_tree",
    "fsopen",
    "fsmount",
    "fsconfig",
    "fspick",
    "mount_setattr",
    "setns",
    "unshare",
    "name_to_handle_at",
    "open_by_handle_at",
    "mknod",
    "mknodat",
    "chroot",
    "shmget",
    "shmat",
    "shmctl",
    "shmdt",
    "semget",
    "semop",
    "semctl",
    "semtimedop",
    "msgget",
    "msgsnd",
    "msgrcv",
    "msgctl",
    "mq_open",
    "mq_unlink",
    "mq_timedsend",
    "mq_timedreceive",
    "mq_notify",
    "mq_getsetattr",
    "memfd_create",
    "memfd_secret",
    "modify_ldt",
    "vmsplice",
    "splice",
    "tee",
    "kexec_load",
    "kexec_file_load",
    "init_module",
    "finit_module",
    "delete_module",
    "reboot",
    "swapon",
    "swapoff",
    "settimeofday",
    "clock_settime",
    "clock_adjtime",
    "adjtimex",
    "iopl",
    "ioperm",
    "acct",
    "quotactl",
    "quotactl_fd",
    "syslog",
    "vhangup",
    "fanotify_init",
    "lookup_dcookie",
    "nfsservctl",
    "setuid",
    "setgid",
    "setgroups",
    "setresuid",
    "setresgid",
    "setreuid",
    "setregid",
    "setfsuid",
    "setfsgid",
    "capset",
    "sethostname",
    "setdomainname",
    "seccomp",
    "landlock_create_ruleset",
    "uselib",
    "ustat",
    "sysfs",
    "migrate_pages",
    "move_pages",
    "mbind",
    "set_mempolicy",
]


@pytest.fixture(params=list(SeccompProfile))
def rules(request) -> list[dict]:
    return json.loads(profile_json(request.param))["syscalls"]


@pytest.mark.parametrize("profile", list(SeccompProfile))
def test_what_is_not_listed_is_eperm_on_both_architectures(profile):
    document = json.loads(profile_json(profile))
    assert (document["defaultAction"], document["defaultErrnoRet"]) == ("SCMP_ACT_ERRNO", 1)
    assert {item["architecture"] for item in document["archMap"]} == {"SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"}
    assert all("subArchitectures" not in item for item in document["archMap"]), "32-bit calls would get round the lists"


def test_ct_09_calls_that_lead_out_are_in_no_rule(rules):
    assert {name for rule in rules for name in rule["names"]}.isdisjoint(FORBIDDEN)


def test_the_calls_with_conditions_are_never_allowed_without_them(rules):
    assert not {"socket", "socketpair", "clone", "clone3", "personality"} & set(ALWAYS)
    for rule in rules:
        if rule["names"] != list(ALWAYS) and rule["action"] == "SCMP_ACT_ALLOW":
            assert rule["args"], rule


def test_clone_refuses_every_namespace_and_clone3_is_not_there(rules):
    clone = next(rule for rule in rules if rule["names"] == ["clone"])
    assert clone["args"] == [{"index": 0, "value": 0x7E020000, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]
    assert CLONE_NAMESPACES == 0x7E020000
    assert {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38} in rules


def sockets(profile: SeccompProfile) -> list[list[tuple[int, int, int]]]:
    rules = json.loads(profile_json(profile))["syscalls"]
    return [
        [(item["index"], item["value"], item.get("valueTwo", 0)) for item in rule["args"]]
        for rule in rules
        if rule["names"] == ["socket"]
    ]


def test_sealed_packs_get_unix_sockets_only():
    assert sockets(SeccompProfile.SEALED) == [[(0, 1, 0)]]


def test_loopback_packs_get_tcp_beside_them_and_no_other_kind():
    mask = SOCK_KIND_MASK
    assert mask & 0o2000000 == 0
    assert mask & 0o4000 == 0
    assert mask & 0xF == 0xF
    assert sockets(SeccompProfile.LOOPBACK) == [
        [(0, 1, 0)],
        *([(0, family, 0), (1, mask, 1), (2, protocol, 0)] for family in (2, 10) for protocol in (0, 6)),
    ]


def test_no_call_is_listed_twice():
    assert len(ALWAYS) == len(set(ALWAYS))
