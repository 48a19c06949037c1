"""A traceback as text, for the pack's own log. Without the `traceback` module, which costs 2 MB and 15 ms."""

from __future__ import annotations

from rumi_agent.errors import describe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

_MAX_FRAMES = 40
_MAX_CHAIN = 4
_OWN = "/rumi_agent/"


def _source_line(path: str, number: int) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as lines:  # noqa: PTH123
            for at, line in enumerate(lines, 1):
                if at == number:
                    return line.strip()[:200]
    except (OSError, ValueError):
        pass
    return ""


def _frames(trace: TracebackType | None) -> list[str]:
    found: list[tuple[str, int, str]] = []
    while trace is not None:
        code = trace.tb_frame.f_code
        if _OWN not in code.co_filename:
            found.append((code.co_filename, trace.tb_lineno, code.co_name))
        trace = trace.tb_next
    lines = []
    kept = found if len(found) <= _MAX_FRAMES else found[: _MAX_FRAMES // 2] + found[-_MAX_FRAMES // 2 :]
    for path, number, name in kept:
        lines.append(f'  File "{path}", line {number}, in {name}')
        source = _source_line(path, number)
        if source:
            lines.append("    " + source)
    if len(kept) < len(found):
        lines.insert(len(lines) // 2, f"  ... {len(found) - len(kept)} more ...")
    return lines


def traceback_text(error: BaseException) -> str:
    """The traceback, causes first, the agent's own frames left out."""
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and len(chain) < _MAX_CHAIN and current not in chain:
        chain.append(current)
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    head = "Traceback (most recent call last):"
    parts = ["\n".join([head, *_frames(each.__traceback__), describe(each)]) for each in reversed(chain)]
    return "\n\nWhile that was handled, another came up:\n\n".join(parts)
