"""What a person sees of the set-up: one line per stage, and one sentence with its mending command when it cannot go on.

Everything goes to standard error: standard output belongs to whatever is handed over to (a flow's outputs, say).
"""

import errno
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

WIDTH = 79


class SetupError(Exception):
    """The set-up cannot go on: a sentence for a person, and the command (if there is one) that mends it."""

    def __init__(self, sentence: str, mend: str = "") -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.mend = mend


class Reporter:
    """Writes progress lines that fit a terminal of 80 columns."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream if stream is not None else sys.stderr

    def line(self, stage: str, text: str) -> None:
        """One line of progress; long text goes on below itself."""
        head = f"{stage:<8}"
        self._stream.write(textwrap.fill(text, WIDTH, initial_indent=head, subsequent_indent=" " * 8) + "\n")
        self._stream.flush()

    @contextmanager
    def work(self, stage: str, text: str) -> Iterator[None]:
        """Announce work that takes a while, and say how long it took once it is done."""
        self.line(stage, text + " ...")
        began = time.monotonic()
        yield
        self.line(stage, f"done in {time.monotonic() - began:.1f} s")

    def problem(self, error: SetupError) -> None:
        """The last words of a set-up that stopped."""
        self._stream.write(paragraph("problem: ", error.sentence))
        if error.mend:
            self._stream.write(f"   mend: {error.mend}\n")
        self._stream.flush()


def paragraph(head: str, text: str) -> str:
    """`text` wrapped behind `head`, with a newline at its end."""
    return textwrap.fill(text, WIDTH, initial_indent=head, subsequent_indent=" " * len(head)) + "\n"


def from_system(error: OSError, command: str) -> SetupError:
    """The sentence for an error of the operating system; `command` is what to start again."""
    where = f" ({error.filename})" if error.filename else ""
    again = f"python3 bootstrap.py {command}"
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return disk_full(again, where)
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return SetupError(
            f"Rumi may not write here{where}: {error.strerror}.", f'sudo chown -R "$(id -un)" . && {again}'
        )
    return SetupError(f"The system refused a step of the set-up: {error.strerror or error}{where}.", again)


def disk_full(again: str, where: str = "") -> SetupError:
    """Said in one place, whoever notices it: the system, pip, apt or the engine."""
    return SetupError(
        f"The disk is full{where}; Rumi's set-up needs about 2 GB.",
        f"df -h . /var /tmp; free some space, then: {again}",
    )
