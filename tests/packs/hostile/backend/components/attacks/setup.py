"""What a malicious pack would do, one interface each, so that a test can ask for it and look at what is left."""

import ctypes
import errno
import os
import platform
import signal
import socket
import stat
import subprocess
import sys
import threading
import time

LIBC = ctypes.CDLL(None, use_errno=True)
CALLS = {
    "x86_64": {"unshare": 272, "mount": 165, "setns": 308, "keyctl": 250, "bpf": 321, "userfaultfd": 323, "perf_event_open": 298,
               "kexec_load": 246, "ptrace": 101, "io_uring_setup": 425, "process_vm_readv": 310, "clone3": 435, "memfd_create": 319,
               "open_by_handle_at": 304, "mknod": 133, "chroot": 161, "shmget": 29, "mq_open": 240, "personality": 135},
    "aarch64": {"unshare": 97, "mount": 40, "setns": 268, "keyctl": 219, "bpf": 280, "userfaultfd": 282, "perf_event_open": 241,
                "kexec_load": 104, "ptrace": 117, "io_uring_setup": 425, "process_vm_readv": 270, "clone3": 435, "memfd_create": 279,
                "open_by_handle_at": 265, "mknod": 33, "chroot": 51, "shmget": 194, "mq_open": 180, "personality": 92},
}[platform.machine()]


def attempt(function):
    try:
        function()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))
    return "ok"


def raw(name, *args):
    ctypes.set_errno(0)
    wide = [ctypes.c_long(item) if isinstance(item, int) else item for item in args]
    result = LIBC.syscall(ctypes.c_long(CALLS[name]), *wide)
    return "ok" if result >= 0 else errno.errorcode.get(ctypes.get_errno(), "?")


def fork_bomb(args, ctx):
    children, result = [], "ok"
    try:
        while len(children) < 5000:
            child = os.fork()
            if child == 0:
                time.sleep(600)
                os._exit(0)
            children.append(child)
    except OSError as error:
        result = errno.errorcode[error.errno]
    if args.get("stay"):
        time.sleep(600)
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return {"children": len(children), "error": result}


def thread_bomb(args, ctx):
    gate, made = threading.Event(), 0
    try:
        while made < 5000:
            threading.Thread(target=gate.wait, daemon=True).start()
            made += 1
        result = "ok"
    except RuntimeError:
        result = "refused"
    gate.set()
    return {"threads": made, "result": result}


def eat_memory(args, ctx):
    held = []
    while True:
        held.append(bytearray(4 * 1024 * 1024))


def child_eats_memory(args, ctx):
    """A child is killed for its memory; then the whole pack leaves with exit code 0, as if all were well."""
    code = "x = []\nwhile True: x.append(bytearray(4 << 20))"
    ended = subprocess.run([sys.executable, "-I", "-c", code], check=False)
    if ended.returncode == -9:
        os._exit(0)
    return {"code": ended.returncode}


def fill_scratch(args, ctx):
    seen = {}
    for folder in ("/tmp", "/dev/shm", "/dev/mqueue"):
        written = 0
        try:
            with open(f"{folder}/fill", "wb", buffering=0) as file:
                while written < 64 << 20:
                    written += file.write(bytes(65536))
        except OSError as error:
            seen[folder] = [errno.errorcode[error.errno], written]
        else:
            seen[folder] = ["ok", written]
        attempt(lambda f=folder: os.unlink(f"{f}/fill"))
    return seen


def flood(args, ctx):
    block = bytes(range(256)).replace(b"\n", b"x") * 256
    for number in (1, 2):
        written = 0
        while written < args["bytes"] // 2:
            written += os.write(number, block)
    return {"ok": True}


def busy(args, ctx):
    while True:
        pass


def sleep(args, ctx):
    while True:
        time.sleep(3600)


def stop_self(args, ctx):
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(600)


def ignore_term_and_sleep(args, ctx):
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        ctypes.CDLL(None).signal(number, 1)
    ctypes.CDLL(None).signal(signal.SIGTERM, 1)
    return {"ok": True}


def orphan(args, ctx):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            while True:
                time.sleep(3600)
        os._exit(0)
    return {"ok": True}


def syscalls(args, ctx):
    seen = {
        "unshare(user)": raw("unshare", 0x10000000), "unshare(net)": raw("unshare", 0x40000000),
        "mount": raw("mount", b"none", b"/tmp", b"tmpfs", 0, None), "setns": raw("setns", 0, 0), "keyctl": raw("keyctl", 0, -3, 0),
        "bpf": raw("bpf", 0, ctypes.create_string_buffer(128), 128), "userfaultfd": raw("userfaultfd", 0),
        "perf_event_open": raw("perf_event_open", ctypes.create_string_buffer(128), 0, -1, -1, 0),
        "kexec_load": raw("kexec_load", 0, 0, None, 0), "ptrace": raw("ptrace", 16, 4_000_000, 0, 0), "io_uring_setup": raw("io_uring_setup", 1, None),
        "process_vm_readv": raw("process_vm_readv", 1, None, 0, None, 0, 0), "clone3": raw("clone3", None, 0),
        "memfd_create": raw("memfd_create", b"x", 0), "open_by_handle_at": raw("open_by_handle_at", -100, None, 0),
        "mknod": raw("mknod", b"/tmp/node", stat.S_IFCHR | 0o666, os.makedev(1, 1)), "chroot": raw("chroot", b"/tmp"),
        "shmget": raw("shmget", 0, 4096, 0o1600), "mq_open": raw("mq_open", b"x", 0o102, 0o600, None), "personality": raw("personality", 0x0040000),
    }
    for name, family in {"PACKET": 17, "ALG": 38, "VSOCK": 40, "NETLINK": 16, "INET": 2, "INET6": 10}.items():
        seen[f"AF_{name}"] = attempt(lambda f=family: socket.socket(f, socket.SOCK_RAW if f in (16, 17) else socket.SOCK_STREAM).close())
    return seen


def open_paths(args, ctx):
    """How each path opens for reading with content, and for writing."""
    seen = {}
    paths = ["/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/1/root/etc/shadow", "/proc/kcore", "/proc/keys", "/dev/mem",
             "/dev/kmem", "/dev/sda", "/dev/vda", "/sys/firmware/efi", "/sys/kernel/uevent_helper", "/proc/sys/kernel/modprobe",
             "/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock"]
    for base, _, names in os.walk("/sys/fs/cgroup"):
        paths += [os.path.join(base, name) for name in names if name == "release_agent"]
    for path in paths:
        seen[path] = attempt(lambda p=path: os.close(os.open(p, os.O_WRONLY)))
    for path in ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/dev/mem"):
        try:
            with open(path, "rb") as file:
                seen[f"read {path}"] = "empty" if not file.read(64) else "content"
        except OSError as error:
            seen[f"read {path}"] = errno.errorcode[error.errno]
    seen["environ of 1"] = sorted(read_environ("/proc/1/environ") - read_environ("/proc/self/environ"))
    seen["socket folders"] = sorted(path for path in ("/run", "/run/rumi", "/work", "/home", "/root") if os.path.isdir(path) and others(path))
    return seen


def read_environ(path):
    try:
        with open(path, "rb") as file:
            return {item.partition(b"=")[0].decode() for item in file.read().split(b"\0") if item}
    except OSError:
        return set()


def others(path):
    """Anything in a folder that is not this pack's own socket."""
    try:
        return set(os.listdir(path)) - {"rumi", "kernel.sock"}
    except OSError:
        return set()


def gain(args, ctx):
    """Set-uid files in the image, writing where code is, and putting another socket in the place of ours."""
    setuid = []
    for base, folders, names in os.walk("/"):
        if base == "/":
            folders[:] = [name for name in folders if name not in ("proc", "sys")]
        for name in names:
            path = os.path.join(base, name)
            try:
                if os.lstat(path).st_mode & (stat.S_ISUID | stat.S_ISGID) and os.path.isfile(path):
                    setuid.append(path)
            except OSError:
                continue
    seen = {"setuid": setuid, "no_new_privs": open("/proc/self/status").read().split("NoNewPrivs:")[1].split()[0]}
    for path in ("/x", "/pack/x", "/usr/x", "/opt/rumi/x", "/run/rumi/x", sys.executable, "/opt/rumi/container_agent.py"):
        seen[path] = attempt(lambda p=path: os.close(os.open(p, os.O_WRONLY | os.O_CREAT)))
    seen["unlink socket"] = attempt(lambda: os.unlink("/run/rumi/kernel.sock"))
    seen["rename socket"] = attempt(lambda: os.rename("/run/rumi/kernel.sock", "/run/rumi/old.sock"))
    copy = "/tmp/program"
    with open(copy, "wb") as file:
        file.write(b"#!/proc/self/exe\n")
    os.chmod(copy, 0o4755)
    seen["exec from scratch"] = attempt(lambda: subprocess.run([copy], check=False))
    seen["setuid kept"] = bool(os.stat(copy).st_mode & stat.S_ISUID)
    seen["uid"] = os.getuid()
    os.unlink(copy)
    return seen


def exit_now(args, ctx):
    os._exit(args.get("code", 0))


def interpreter(args, ctx):
    """CVE-2019-5736: hand the host's runtime its own program through /proc/self/exe."""
    seen = {"rewrite python": attempt(lambda: os.close(os.open("/proc/self/exe", os.O_WRONLY)))}
    seen["rewrite init"] = attempt(lambda: os.close(os.open("/proc/1/exe", os.O_WRONLY)))
    return seen


def big_reply(args, ctx):
    return "x" * args["bytes"]


def run(context):
    register = context["interface_registry"].register
    register("hostile.echo", lambda args, ctx: args)
    for function in (fork_bomb, thread_bomb, eat_memory, child_eats_memory, fill_scratch, flood, busy, sleep, stop_self,
                     ignore_term_and_sleep, orphan, syscalls, open_paths, gain, exit_now, interpreter, big_reply):
        register(f"hostile.{function.__name__}", function)
