"""The system calls that a pack may make, by what they are for.

Data only. What stands in no list here is refused with EPERM, so a call that a future kernel grows is refused until
somebody has thought about it. Left out on purpose, because each has been a way out of a container or gives a view of
other processes: io_uring, ptrace, process_vm_*, pidfd_getfd, userfaultfd, the key ring, bpf, perf events, everything
that mounts, setns, unshare, file handles, device nodes, chroot, System V and POSIX message queues and shared memory,
memfd, modify_ldt, vmsplice, splice, kernel modules, kexec, clocks that set, quotas, swap, and changing one's ids.
"""

from __future__ import annotations

MEMORY = (
    "brk", "madvise", "mincore", "mlock", "mlock2", "mlockall", "mmap", "mprotect", "mremap", "msync", "munlock",
    "munlockall", "munmap", "pkey_alloc", "pkey_free", "pkey_mprotect", "membarrier", "rseq",
)  # fmt: skip

FILES = (
    "access", "chdir", "chmod", "chown", "close", "close_range", "copy_file_range", "creat", "dup", "dup2", "dup3",
    "faccessat", "faccessat2", "fadvise64", "fallocate", "fchdir", "fchmod", "fchmodat", "fchmodat2", "fchown",
    "fchownat", "fcntl", "fdatasync", "fgetxattr", "flistxattr", "flock", "fremovexattr", "fsetxattr", "fstat",
    "fstatfs", "fsync", "ftruncate", "futimesat", "getcwd", "getdents", "getdents64", "getxattr", "ioctl", "lchown",
    "lgetxattr", "link", "linkat", "listxattr", "llistxattr", "lremovexattr", "lseek", "lsetxattr", "lstat", "mkdir",
    "mkdirat", "newfstatat", "open", "openat", "openat2", "pread64", "preadv", "preadv2", "pwrite64", "pwritev",
    "pwritev2", "read", "readahead", "readlink", "readlinkat", "readv", "removexattr", "rename", "renameat",
    "renameat2", "rmdir", "sendfile", "setxattr", "stat", "statfs", "statx", "symlink", "symlinkat", "sync",
    "sync_file_range", "syncfs", "truncate", "umask", "unlink", "unlinkat", "utime", "utimensat", "utimes", "write",
    "writev", "inotify_add_watch", "inotify_init", "inotify_init1", "inotify_rm_watch",
)  # fmt: skip

WAITING = (
    "epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait", "eventfd", "eventfd2",
    "futex", "futex_waitv", "get_robust_list", "pause", "pipe", "pipe2", "poll", "ppoll", "pselect6", "restart_syscall",
    "select", "set_robust_list", "signalfd", "signalfd4",
)  # fmt: skip

TIME = (
    "alarm", "clock_getres", "clock_gettime", "clock_nanosleep", "getitimer", "gettimeofday", "nanosleep", "setitimer",
    "time", "timer_create", "timer_delete", "timer_getoverrun", "timer_gettime", "timer_settime", "timerfd_create",
    "timerfd_gettime", "timerfd_settime", "times",
)  # fmt: skip

PROCESSES = (
    "arch_prctl", "capget", "execve", "execveat", "exit", "exit_group", "fork", "getcpu", "getegid", "geteuid",
    "getgid", "getgroups", "getpgid", "getpgrp", "getpid", "getppid", "getpriority", "getrandom", "getresgid",
    "getresuid", "getrlimit", "getrusage", "getsid", "gettid", "getuid", "ioprio_get", "kill", "pidfd_open",
    "pidfd_send_signal", "prctl", "prlimit64", "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo",
    "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait", "rt_tgsigqueueinfo", "sched_get_priority_max",
    "sched_get_priority_min", "sched_getaffinity", "sched_getattr", "sched_getparam", "sched_getscheduler",
    "sched_rr_get_interval", "sched_setaffinity", "sched_yield", "set_tid_address", "setpgid", "setpriority",
    "setrlimit", "setsid", "sigaltstack", "sysinfo", "tgkill", "tkill", "uname", "vfork", "wait4", "waitid",
)  # fmt: skip

SOCKETS = (
    "accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen", "recvfrom",
    "recvmmsg", "recvmsg", "sendmmsg", "sendmsg", "sendto", "setsockopt", "shutdown",
)  # fmt: skip

ALWAYS = tuple(sorted({*MEMORY, *FILES, *WAITING, *TIME, *PROCESSES, *SOCKETS}))
