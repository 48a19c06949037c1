"""What a pack registered: checked once, when it is registered, so that a call only has to call."""

from __future__ import annotations

from rumi_agent.limits import STEADY_RUNS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType

PLAIN, GENERATOR, COROUTINE, ASYNC_GENERATOR = range(4)

_VARARGS, _GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x04, 0x20, 0x80, 0x200  # of code objects (inspect.CO_*)
_MAX_STEADY_RUNS = STEADY_RUNS * 128


class Handler:
    """A callable, its kind, how many of `(args, ctx)` it takes, and whether it may run on the reader's thread."""

    __slots__ = ("arity", "fn", "inline", "kind", "name", "quick_runs", "trial")

    def __init__(self, name: str, fn: Callable[..., object]) -> None:
        code = code_of(fn)
        self.name = name
        self.fn = fn
        self.kind = _kind(code)
        self.arity = arity_of(fn)
        self.inline = True
        self.quick_runs = 0
        self.trial = STEADY_RUNS

    def was_slow(self) -> None:
        """It kept the reader waiting: it gets a thread of its own, until it has been quick for long enough."""
        self.inline = False
        self.quick_runs = 0
        self.trial = min(self.trial * 2, _MAX_STEADY_RUNS)

    def was_quick(self) -> None:
        """One more run that would not have kept anybody waiting."""
        self.quick_runs += 1
        if self.quick_runs >= self.trial:
            self.inline = True

    def call(self, args: object, ctx: object) -> object:
        """Call it with as much as it takes."""
        if self.arity == 2:
            return self.fn(args, ctx)
        return self.fn(args) if self.arity == 1 else self.fn()


def _unregistered() -> None:
    """Stands where no handler is known."""


def code_of(fn: object) -> CodeType | None:
    """The code that a call will run, or None for callables written in C and the like."""
    fn = getattr(fn, "__func__", fn)
    code = getattr(fn, "__code__", None)
    if code is None:
        inner = getattr(fn, "func", None) or getattr(type(fn), "__call__", None)  # noqa: B004  (partial, or an object)
        code = getattr(getattr(inner, "__func__", inner), "__code__", None)
    return code


def _kind(code: CodeType | None) -> int:
    flags = code.co_flags if code is not None else 0
    if flags & _COROUTINE:
        return COROUTINE
    if flags & _ASYNC_GENERATOR:
        return ASYNC_GENERATOR
    return GENERATOR if flags & _GENERATOR else PLAIN


def arity_of(fn: Callable[..., object], most: int = 2) -> int:
    """How many of the `most` positional arguments to pass. Raises `TypeError` for a callable that would need more."""
    code = getattr(fn, "__code__", None)
    if code is not None and not hasattr(fn, "__wrapped__") and not code.co_kwonlyargcount:
        taken = code.co_argcount - (getattr(fn, "__self__", None) is not None)
        defaults = len(getattr(fn, "__defaults__", None) or ())
        _at_most(taken - defaults, fn, most)
        return most if code.co_flags & _VARARGS else min(taken, most)
    return _arity_by_signature(fn, most)


def _arity_by_signature(fn: Callable[..., object], most: int) -> int:
    from inspect import Parameter, signature

    try:
        parameters = signature(fn).parameters.values()
    except (TypeError, ValueError):
        return most
    if any(p.kind is Parameter.KEYWORD_ONLY and p.default is Parameter.empty for p in parameters):
        raise TypeError(f"{_name(fn)} needs keyword arguments: a handler takes (args, ctx), (args) or nothing")
    positional = [p for p in parameters if p.kind in {Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD}]
    _at_most(sum(p.default is Parameter.empty for p in positional), fn, most)
    if any(p.kind is Parameter.VAR_POSITIONAL for p in parameters):
        return most
    return min(len(positional), most)


def _at_most(needed: int, fn: object, most: int) -> None:
    if needed > most:
        raise TypeError(f"{_name(fn)} needs {needed} arguments: a handler takes (args, ctx), (args) or nothing")


def _name(fn: object) -> str:
    return str(getattr(fn, "__qualname__", type(fn).__name__))


NO_HANDLER = Handler("(none)", _unregistered)
