"""What every benchmark shares: how it is asked, how it measures, and the one line of JSON that it prints.

A figure stands beside a floor or a peer of the same run, since machines differ and ratios last. The first figure of a
script is the line itself; further ones are in `also`, and `met` of the line speaks for all of them. `load` is the
machine's load average of the last minute, before and after: a figure that was taken on a busy machine says so.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from core_runtime.errors import RumiError

QUICK = "as little as shows that the script works: its figures mean nothing"


@dataclass(frozen=True, slots=True)
class Rival:
    """What a figure is measured against, in the figure's unit."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Promise:
    """What is promised of a value (in its unit) or of its ratio to the rival; each that is given has to hold."""

    most: float | None = None
    least: float | None = None
    most_ratio: float | None = None

    def kept(self, value: float, ratio: float | None) -> bool:
        """Whether it holds."""
        return (
            (self.most is None or value <= self.most)
            and (self.least is None or value >= self.least)
            and (self.most_ratio is None or (ratio is not None and ratio <= self.most_ratio))
        )

    def text(self, unit: str) -> str:
        """`<= 30 ms`, `>= 25000 calls/s`, `<= 1.2 x`."""
        parts = [
            "" if self.most is None else f"<= {self.most:g} {unit}",
            "" if self.least is None else f">= {self.least:g} {unit}",
            "" if self.most_ratio is None else f"<= {self.most_ratio:g} x",
        ]
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured value. The ratio is to the floor, or to the peer where there is no floor."""

    what: str
    value: float
    unit: str
    promise: Promise
    floor: Rival | None = None
    peer: Rival | None = None

    @property
    def ratio(self) -> float | None:
        """How many times the rival; None without one."""
        rival = self.floor or self.peer
        return self.value / rival.value if rival is not None and rival.value else None

    @property
    def met(self) -> bool:
        """Whether its own promise is kept."""
        return self.promise.kept(self.value, self.ratio)

    def to_json(self) -> dict[str, object]:
        """As it is printed."""
        ratio = self.ratio
        return {
            "what": self.what,
            "value": short(self.value),
            "unit": self.unit,
            "promised": self.promise.text(self.unit) or None,
            "met": self.met,
            "floor": _shown(self.floor),
            "peer": _shown(self.peer),
            "ratio": None if ratio is None else short(ratio),
        }


@dataclass(slots=True)
class Report:
    """The line of one script. Made before the measuring, so that it knows the load at the start."""

    promise: str
    load: float = field(default_factory=lambda: os.getloadavg()[0])

    def show(self, first: Figure, *also: Figure, details: Mapping[str, object] | None = None) -> None:
        """Print it."""
        line = {
            "promise": self.promise,
            **first.to_json(),
            "met": first.met and all(figure.met for figure in also),
            "load": {"before": round(self.load, 2), "after": round(os.getloadavg()[0], 2)},
            "machine": {"cores": os.cpu_count(), "python": platform.python_version()},
            "also": [figure.to_json() for figure in also],
            "details": dict(details or {}),
        }
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def _shown(rival: Rival | None) -> dict[str, object] | None:
    return None if rival is None else {"name": rival.name, "value": short(rival.value)}


def short(value: float) -> float:
    """Three digits after the point for small values, none for large ones: no more than was measured."""
    return round(value, 3 if value < 10 else 1 if value < 10_000 else 0)


def parser_of(description: str | None, *, rounds: int) -> argparse.ArgumentParser:
    """`--quick`, `--rounds` and `--image`, the same for each script."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=QUICK)
    parser.add_argument("--rounds", type=int, default=rounds, help="how often each side has its turn")
    parser.add_argument("--image", default="rumi-sandbox:current", help="the sandbox image, where one is used")
    return parser


def options(description: str | None, arguments: Sequence[str] | None, *, rounds: int) -> argparse.Namespace:
    """The parsed command line of a script with no option of its own."""
    return settled(parser_of(description, rounds=rounds), arguments)


def settled(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse; `--quick` means one round."""
    chosen = parser.parse_args(arguments)
    if chosen.quick:
        chosen.rounds = 1
    return chosen


def seconds_of(work: Callable[[], object]) -> float:
    """How long it takes, once."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def in_turns(works: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each, in turns, so that a slow moment of the machine hits all; each has run once before."""
    for work in works.values():
        work()
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            times[name].append(seconds_of(work))
    return times


def middle(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)


def end(main: Callable[[], None]) -> None:
    """Run a script; what the product refuses is one sentence and exit code 1."""
    try:
        main()
    except RumiError as error:
        sys.stderr.write(f"{error.message} {error.hint}\n")
        sys.exit(1)
