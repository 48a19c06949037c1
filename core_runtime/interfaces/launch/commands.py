"""`run`: what `bootstrap.py run` hands over to."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from core_runtime.errors import RumiError
from core_runtime.interfaces.cli.values import parse_pairs
from core_runtime.interfaces.error_table import exit_code
from core_runtime.interfaces.launch.serving import ProfileT, Serving
from core_runtime.interfaces.launch.terminal import say


def run_command(serving: Serving[ProfileT], arguments: Sequence[str]) -> int:
    """`run [--approve-bundled] [--flow NAME --input k=v ...]`; the exit code."""
    parser = argparse.ArgumentParser(prog="bootstrap.py run", description="Start Rumi, or run one flow and stop.")
    parser.add_argument("--approve-bundled", action="store_true", help="approve the packs listed by digest")
    parser.add_argument("--flow", metavar="NAME", help="run this flow, print its outputs as JSON, stop")
    parser.add_argument("--input", metavar="K=V", action="append", default=[], help="text; K:=JSON; @FILE")
    given = parser.parse_args(list(arguments))
    if given.flow is None:
        if given.input:
            parser.error("--input goes with --flow")
        return serving.serve(approve_bundled=given.approve_bundled)
    try:
        inputs = parse_pairs(given.input, "--input")
    except RumiError as error:
        say(f"{error.message} {error.hint}")
        return int(exit_code(error))
    return serving.run_flow(given.flow, inputs, approve_bundled=given.approve_bundled)
