"""The 34 inside checks. Each returns (passed, what it saw) and never raises: a check that breaks has failed.

Standard library only, raw system calls through ctypes where Python has no wrapper. `expected` holds what the kernel
assigned: {"uid", "memory_bytes", "pids", "cpus", "network", "shm", "environment"}. Cgroup files are read in both versions.
"""

import ctypes
import errno
import os
import platform
import resource
import signal
import socket
import stat
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
MIB = 1024 * 1024
CALLS = {
    "x86_64": {"keyctl": 250, "add_key": 248, "request_key": 249, "bpf": 321, "userfaultfd": 323, "perf_event_open": 298,
               "io_uring_setup": 425, "ptrace": 101, "unshare": 272, "mount": 165},
    "aarch64": {"keyctl": 219, "add_key": 217, "request_key": 218, "bpf": 280, "userfaultfd": 282, "perf_event_open": 241,
                "io_uring_setup": 425, "ptrace": 117, "unshare": 97, "mount": 40},
}[platform.machine()]
OUR_SOCKET = "/run/rumi/kernel.sock"
STANDARD_HOSTS = {
    ("127.0.0.1", "localhost"), ("::1", "localhost", "ip6-localhost", "ip6-loopback"), ("fe00::0", "ip6-localnet"),
    ("fe00::", "ip6-localnet"), ("ff00::0", "ip6-mcastprefix"), ("ff00::", "ip6-mcastprefix"), ("ff02::1", "ip6-allnodes"),
    ("ff02::2", "ip6-allrouters"),
}
DEVICES = {"null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "shm", "mqueue", "fd", "stdin", "stdout", "stderr"}


def call(name, *args):
    """The errno name of a raw system call, or "ok"."""
    ctypes.set_errno(0)
    wide = [ctypes.c_long(item) if isinstance(item, int) else item for item in args]
    result = LIBC.syscall(ctypes.c_long(CALLS[name]), *wide)
    return "ok" if result >= 0 else errno.errorcode.get(ctypes.get_errno(), str(ctypes.get_errno()))


def attempt(function):
    """The errno name of what `function` raises, or "ok"."""
    try:
        function()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))
    return "ok"


def refused(*names_and_results):
    """Passed if every (name, result) is EPERM."""
    seen = dict(names_and_results)
    return all(result == "EPERM" for result in seen.values()), seen


def status():
    lines = Path("/proc/self/status").read_text().splitlines()
    return {key: value.split() for key, _, value in (line.partition(":") for line in lines)}


def mounts():
    """(root, mount point, options, file system, super options) of every mount."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        fields, kind = left.split(), right.split()
        found.append((fields[3], fields[4], set(fields[5].split(",")), kind[0], set(kind[2].split(","))))
    return found


def first(*paths):
    """The text of the first of these files that exists, or None."""
    for path in paths:
        try:
            return Path(path).read_text().strip()
        except OSError:
            continue
    return None


def c1(expected):
    seen = {key: status()[key] for key in ("Uid", "Gid")}
    return expected["uid"] != 0 and all(value == [str(expected["uid"])] * 4 for value in seen.values()), seen


def c2(expected):
    groups = status()["Groups"]
    return set(groups) <= {str(expected["uid"])}, groups


def c3(expected):
    seen = {key: status()[key][0] for key in ("CapInh", "CapPrm", "CapEff", "CapAmb")}
    return all(int(value, 16) == 0 for value in seen.values()), seen


def c4(expected):
    bound = status()["CapBnd"][0]
    return int(bound, 16) == 0, bound


def c5(expected):
    return status()["NoNewPrivs"] == ["1"], status()["NoNewPrivs"]


def c6(expected):
    return status()["Seccomp"] == ["2"], status()["Seccomp"]


def c7(expected):
    return refused(("unshare(CLONE_NEWUSER)", call("unshare", 0x10000000)))


def c8(expected):
    return refused(("mount", call("mount", b"none", b"/tmp", b"tmpfs", 0, None)))


def c9(expected):
    added = call("add_key", b"user", b"probe", b"x", 1, -3)
    return refused(("keyctl", call("keyctl", 0, -3, 0)), ("add_key", added), ("request_key", call("request_key", b"user", b"p", None, 0)))


def c10(expected):
    return refused(("bpf", call("bpf", 0, ctypes.create_string_buffer(128), 128)))


def c11(expected):
    opened = call("perf_event_open", ctypes.create_string_buffer(128), 0, -1, -1, 0)
    return refused(("userfaultfd", call("userfaultfd", 0)), ("perf_event_open", opened))


def c12(expected):
    return refused(("io_uring_setup", call("io_uring_setup", 1, None)))


def c13(expected):
    return refused(("ptrace(ATTACH)", call("ptrace", 16, 4_000_000, 0, 0)))


def c14(expected):
    """Families by number: not every Python build knows all names."""
    stream, datagram, raw = socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW
    wanted = {"UNIX": (1, stream, 0)}
    unwanted = {
        "INET datagram": (2, datagram, 0), "INET raw": (2, raw, 1), "INET6 datagram": (10, datagram, 0), "INET MPTCP": (2, stream, 262),
        "NETLINK": (16, raw, 0), "PACKET": (17, raw, 0), "ALG": (38, socket.SOCK_SEQPACKET, 0), "VSOCK": (40, stream, 0),
        "XDP": (44, raw, 0), "BLUETOOTH": (31, raw, 1),
    }
    (wanted if expected.get("network") else unwanted).update({"INET stream": (2, stream, 0), "INET6 stream": (10, stream, 0)})
    seen = {name: attempt(lambda a=arguments: socket.socket(*a).close()) for name, arguments in {**wanted, **unwanted}.items()}
    good = all(seen[name] == "ok" for name in wanted)
    return good and all(seen[name] in {"EPERM", "EAFNOSUPPORT"} for name in unwanted), seen


def c15(expected):
    seen = sorted(os.listdir("/sys/class/net"))
    return seen == ["lo"], seen


def c16(expected):
    rows = (first("/proc/net/route") or "").splitlines()[1:]
    devices = {row.split()[0] for row in rows if row.split()}
    devices |= {row.split()[-1] for row in (first("/proc/net/ipv6_route") or "").splitlines() if row.split()}
    return devices <= {"lo"}, sorted(devices)


def c17(expected):
    servers = [line.split()[1:] for line in (first("/etc/resolv.conf") or "").splitlines() if line.startswith(("nameserver", "search", "domain"))]
    hosts = [tuple(line.split("#")[0].split()) for line in (first("/etc/hosts") or "").splitlines()]
    strange = [line for line in hosts if line and line not in STANDARD_HOSTS]
    return all(server == ["127.0.0.1"] for server in servers) and not strange, {"resolv": servers, "hosts": strange}


def c18(expected):
    folders = ("/", "/etc", "/usr", "/var/tmp", "/run", "/opt")
    seen = {folder: attempt(lambda f=folder: open(f"{f}/.probe", "x").close()) for folder in folders}
    return all(result in {"EROFS", "EACCES", "ENOENT"} for result in seen.values()), seen


def c19(expected):
    seen = {}
    for folder in ("/pack", "/deps"):
        files = [os.path.join(base, name) for base, _, names in os.walk(folder) for name in names]
        seen[f"{folder} create"] = attempt(lambda f=folder: open(f"{f}/.probe", "x").close())
        seen[f"{folder} chmod"] = attempt(lambda f=folder: os.chmod(f, 0o777))
        if files:
            name = files[0]
            seen |= {
                f"{folder} write": attempt(lambda n=name: open(n, "r+").close()),
                f"{folder} chmod file": attempt(lambda n=name: os.chmod(n, 0o777)),
                f"{folder} unlink": attempt(lambda n=name: os.unlink(n)),
                f"{folder} rename": attempt(lambda n=name: os.rename(n, n + ".probe")),
            }
    return "/pack write" in seen and all(result in {"EROFS", "EACCES"} for result in seen.values()), seen


def c20(expected):
    def connect():
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(OUR_SOCKET)

    def bind():
        with socket.socket(socket.AF_UNIX) as peer:
            peer.bind("/run/rumi/probe.sock")

    seen = {"connect": attempt(connect), "unlink": attempt(lambda: os.unlink(OUR_SOCKET)), "bind": attempt(bind)}
    seen["rename"] = attempt(lambda: os.rename(OUR_SOCKET, OUR_SOCKET + "x"))
    return seen.pop("connect") == "ok" and all(result == "EROFS" for result in seen.values()), seen


def c21(expected):
    found = [item for item in mounts() if item[1] == "/tmp"]
    if len(found) != 1:
        return False, found
    options, kind, extra = found[0][2], found[0][3], found[0][4]
    written, inodes = fill_bytes("/tmp/probe-fill"), fill_inodes("/tmp/probe-files")
    seen = {"options": sorted(options), "super": sorted(extra), "bytes": written, "inodes": inodes}
    good = kind == "tmpfs" and {"rw", "noexec", "nosuid", "nodev"} <= options
    return good and written["error"] == "ENOSPC" and written["bytes"] <= 16 * MIB and inodes["error"] == "ENOSPC" and inodes["files"] <= 1024, seen


def fill_bytes(path):
    """Write zeros until it fails; at most 64 MiB, and the file is removed."""
    written, result = 0, "ok"
    block = bytes(65536)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        while written < 64 * MIB:
            written += os.write(descriptor, block)
    except OSError as error:
        result = errno.errorcode.get(error.errno, str(error.errno))
    finally:
        os.close(descriptor)
        os.unlink(path)
    return {"bytes": written, "error": result}


def fill_inodes(folder):
    """Make empty files until it fails; at most 5,000, and they are removed."""
    os.mkdir(folder)
    made, result = 0, "ok"
    try:
        while made < 5000:
            open(f"{folder}/{made}", "x").close()
            made += 1
    except OSError as error:
        result = errno.errorcode.get(error.errno, str(error.errno))
    for number in range(made):
        os.unlink(f"{folder}/{number}")
    os.rmdir(folder)
    return {"files": made, "error": result}


def c22(expected):
    if not os.path.exists("/dev/shm"):
        return not expected.get("shm"), "absent"
    about = os.statvfs("/dev/shm")
    size = about.f_blocks * about.f_frsize
    mounted = any(item[1] == "/dev/shm" for item in mounts())
    return bool(expected.get("shm")) and mounted and size <= MIB, {"bytes": size, "mounted": mounted}


def c23(expected):
    """Every mount by trying, every folder by asking; a masked file that is /dev/null takes bytes and keeps none."""
    allowed = {"/tmp", "/dev/shm", "/dev/mqueue"}
    writable = set()
    for _, point, _, _, _ in mounts():
        if os.path.isdir(point):
            name = f"{point.rstrip('/')}/.probe"
            if attempt(lambda n=name: open(n, "x").close()) == "ok":
                os.unlink(name)
                writable.add(point)
        elif not is_null(point) and attempt(lambda p=point: os.close(os.open(p, os.O_WRONLY))) == "ok":
            writable.add(point)
    for base, folders, _ in os.walk("/"):
        if base == "/":
            folders[:] = [name for name in folders if name != "proc"]
        if os.access(base, os.W_OK):
            writable.add(base)
    inside = {path for path in writable if any(path == top or path.startswith(f"{top}/") for top in allowed)}
    return writable == inside and "/tmp" in writable, sorted(writable)


def is_null(path):
    about = os.stat(path)
    return stat.S_ISCHR(about.st_mode) and about.st_rdev == os.makedev(1, 3)


def c24(expected):
    seen = first("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
    return seen == str(expected["memory_bytes"]), seen


def c25(expected):
    v2 = first("/sys/fs/cgroup/memory.swap.max")
    if v2 is not None:
        return v2 == "0", {"swap.max": v2}
    v1 = first("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes")
    if v1 is not None:
        return v1 == str(expected["memory_bytes"]), {"memsw": v1}
    total = next((line for line in (first("/proc/meminfo") or "").splitlines() if line.startswith("SwapTotal")), "")
    return total.split()[1:2] == ["0"], {"meminfo": total}


def c26(expected):
    limit = first("/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max")
    children, result = [], "ok"
    reader, writer = os.pipe()
    try:
        while len(children) < expected["pids"] + 50:
            child = os.fork()
            if child == 0:
                os.close(writer)
                os.read(reader, 1)
                os._exit(0)
            children.append(child)
    except OSError as error:
        result = errno.errorcode.get(error.errno, str(error.errno))
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
        for child in children:
            os.waitpid(child, 0)
        os.close(reader)
        os.close(writer)
    good = limit == str(expected["pids"]) and result == "EAGAIN" and len(children) < expected["pids"]
    return good, {"pids.max": limit, "children": len(children), "error": result}


def c27(expected):
    v2 = first("/sys/fs/cgroup/cpu.max")
    if v2 is not None:
        quota, period = v2.split()
    else:
        base = next((f"/sys/fs/cgroup/{name}" for name in ("cpu", "cpu,cpuacct") if os.path.isdir(f"/sys/fs/cgroup/{name}")), "")
        quota, period = first(f"{base}/cpu.cfs_quota_us") or "max", first(f"{base}/cpu.cfs_period_us") or "1"
    seen = {"quota": quota, "period": period}
    return quota not in {"max", "-1"} and abs(int(quota) / int(period) - expected["cpus"]) < 0.001, seen


def c28(expected):
    wanted = {"NOFILE": (256, 256), "CORE": (0, 0), "FSIZE": (32 * MIB, 32 * MIB), "MEMLOCK": (0, 0)}
    seen = {name: resource.getrlimit(getattr(resource, f"RLIMIT_{name}")) for name in (*wanted, "STACK")}
    good = all(seen[name] == value for name, value in wanted.items())
    return good and seen["STACK"][0] == 8 * MIB, {name: list(value) for name, value in seen.items()}


def c29(expected):
    sockets = []
    for base, folders, names in os.walk("/"):
        if base == "/":
            folders[:] = [name for name in folders if name != "proc"]
        for name in names:
            path = os.path.join(base, name)
            try:
                if stat.S_ISSOCK(os.lstat(path).st_mode):
                    sockets.append(path)
            except OSError:
                continue
    if OUR_SOCKET not in sockets and stat.S_ISSOCK(os.lstat(OUR_SOCKET).st_mode):
        sockets.append(OUR_SOCKET)  # its folder can be entered but not listed
    return sockets == [OUR_SOCKET], sockets


def c30(expected):
    raw = Path("/proc/self/environ").read_bytes().split(b"\0")
    seen = dict(item.decode("utf-8", "replace").partition("=")[::2] for item in raw if item)
    seen.pop("HOSTNAME", None)
    return seen == expected.get("environment"), sorted(seen)


def c31(expected):
    pids = [name for name in os.listdir("/proc") if name.isdigit()]
    foreign = []
    for pid in pids:
        try:
            owner = os.stat(f"/proc/{pid}").st_uid
        except OSError:
            continue
        if owner != expected["uid"]:
            foreign.append(pid)
    comm = first("/proc/1/comm")
    return comm in {"docker-init", "tini"} and not foreign and len(pids) < 16, {"pid 1": comm, "pids": len(pids), "foreign": foreign}


def c32(expected):
    seen = {}
    for path in ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware", "/proc/acpi", "/proc/scsi"):
        seen[path] = content(path)
    writable = ["/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe"]
    for base, _, names in os.walk("/sys/fs/cgroup"):
        writable += [os.path.join(base, name) for name in names if name in {"release_agent", "notify_on_release", "cgroup.procs"}]
    taken = [path for path in writable if os.path.exists(path) and attempt(lambda p=path: os.close(os.open(p, os.O_WRONLY))) == "ok"]
    return all(value in {"absent", "empty", "refused"} for value in seen.values()) and not taken, {**seen, "writable": taken}


def content(path):
    try:
        if os.path.isdir(path):
            return "empty" if not os.listdir(path) else "full"
        with open(path, "rb") as file:
            return "empty" if not file.read(16) else "full"
    except FileNotFoundError:
        return "absent"
    except OSError:
        return "refused"


def c33(expected):
    names = set(os.listdir("/dev"))
    if os.path.islink("/dev/core") and os.readlink("/dev/core") == "/proc/kcore":
        names.discard("core")  # a link to the masked file that C32 looks at
    blocks = [name for name in names if stat.S_ISBLK(os.lstat(f"/dev/{name}").st_mode)]
    return names <= DEVICES and not blocks, sorted(names - DEVICES) or "only harmless ones"


def c34(expected):
    ours = {"/pack", "/deps", "/run/rumi"}
    engines = {"/etc/resolv.conf", "/etc/hostname", "/etc/hosts", "/sbin/docker-init", "/dev/init", "/dev/shm"}
    virtual = {"proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2", "devtmpfs"}
    strange = [point for root, point, _, kind, _ in mounts() if root != "/" and point not in ours | engines and kind not in virtual]
    groups = [line.split(":", 2)[2] for line in (first("/proc/self/cgroup") or "").splitlines()]
    seen = {"mounts": strange, "cwd": os.getcwd(), "hostname": socket.gethostname(), "cgroups": sorted(set(groups))}
    good = not strange and seen["cwd"] == "/tmp" and seen["hostname"] == "pack"
    return good and all(path == "/" for path in groups), seen


def run_all(expected):
    """[{"id", "passed", "seen"}] of all 34, in order."""
    results = []
    for number in range(1, 35):
        try:
            passed, seen = globals()[f"c{number}"](expected)
        except Exception as error:
            passed, seen = False, f"{type(error).__name__}: {error}"
        results.append({"id": f"C{number}", "passed": bool(passed), "seen": seen})
    return results
