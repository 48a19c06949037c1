"""From nothing to a running agent: connect, take the configuration, load the pack, say hello, keep guard."""

from __future__ import annotations

import os
import sys
from _signal import SIG_IGN, SIGINT, SIGTERM, signal  # type: ignore[import-not-found]
from _socket import AF_UNIX, SOCK_STREAM, socket
from _thread import allocate_lock, start_new_thread

from rumi_agent import current
from rumi_agent.agent import Agent, Options
from rumi_agent.components import load_all
from rumi_agent.importer import open_paths

_SWITCH_SECONDS = 0.001  # a handler that computes gives way to the reader this often


def end_process(code: int) -> None:
    """End now, whatever threads run; what was printed is let out if that does not have to wait."""
    done = allocate_lock()
    done.acquire()

    def let_out() -> None:
        for stream in (sys.stdout, sys.stderr):
            try:  # noqa: SIM105
                stream.flush()
            except BaseException:
                pass
        done.release()

    try:
        start_new_thread(let_out, ())
        done.acquire(timeout=0.2)
    finally:
        os._exit(code)


def connect(path: str) -> socket:
    """The connection to the kernel. Raises `OSError`."""
    sock = socket(AF_UNIX, SOCK_STREAM)
    sock.connect(path)
    return sock


def main(options: Options | None = None) -> None:
    """Run until the socket closes or the kernel says stop; never returns."""
    if options is None:
        options = Options(socket=os.environ.get("RUMI_SOCK", "/run/rumi/kernel.sock"))
    try:
        sock = connect(options.socket)
    except OSError as error:
        sys.stderr.write(f"rumi-agent: no connection to {options.socket}: {error}\n")
        end_process(1)
        return
    agent = Agent(options, sock, end_process)
    sys.setswitchinterval(_SWITCH_SECONDS)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    signal(SIGINT, SIG_IGN)
    agent.configure()
    current.agent = agent
    open_paths(options.pack, options.backend, options.deps)
    components = load_all(agent, options.backend)
    signal(SIGTERM, lambda _number, _frame: agent.stop())
    os.register_at_fork(after_in_child=agent.in_forked_child)
    agent.start(components)
    while True:
        try:
            agent.reading.guard()
        except BaseException as error:  # a signal handler of the pack raised: the guard goes on
            agent.log_exception("something was raised into the main thread", error, None)
