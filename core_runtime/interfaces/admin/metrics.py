"""The text that Prometheus reads (exposition format 0.0.4). Pure: samples in, bytes out."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from core_runtime.interfaces.ports import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_NAME = re.compile(r"[a-z_][a-z0-9_]*", re.ASCII)


def render(metrics: Sequence[Metric]) -> bytes:
    """All samples, those of one name together under one HELP and TYPE; a name that is none is left out."""
    groups: dict[str, list[Metric]] = {}
    for metric in metrics:
        if _NAME.fullmatch(metric.name):
            groups.setdefault(metric.name, []).append(metric)
    lines: list[str] = []
    for name, samples in groups.items():
        lines.append(f"# HELP {name} {_escape(samples[0].help)}")
        lines.append(f"# TYPE {name} {samples[0].kind}")
        lines.extend(f"{name}{_labels(sample)} {_number(sample.value)}" for sample in samples)
    return ("\n".join(lines) + "\n").encode()


def _labels(metric: Metric) -> str:
    pairs = [f'{key}="{_escape(value)}"' for key, value in metric.labels if _NAME.fullmatch(key)]
    return "{" + ",".join(pairs) + "}" if pairs else ""


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(value) if value != int(value) else str(int(value))
