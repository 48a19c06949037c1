"""What a starting kernel says to the person at its terminal, on standard error."""

from __future__ import annotations

import sys


def say(text: str) -> None:
    """One line."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def say_banner() -> None:
    """The red banner of permissive mode."""
    red, plain = ("\033[1;37;41m", "\033[0m") if sys.stderr.isatty() else ("", "")
    say(f"{red} PERMISSIVE MODE: packs run as programs of yours, with your files and your network. {plain}")
