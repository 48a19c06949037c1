"""Evaluates the conditions of risk rules with the language of flows; what fails to evaluate raises the risk.

A pack writes the rules, and they are looked at on the loop at each call of its interface, by itself too: so a manifest
has few of them, and each gets a small share of what an expression of a flow may cost (BX-13).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from core_runtime.clock import Clock
from core_runtime.flows.expressions.template import Expression, compile_expression

MAX_COMPILED = 1024
MAX_OPERATIONS = 1_000


class RiskRules:
    """The `RiskEvaluator` of the broker: `${args.all? == true}` over the arguments of one call."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._compiled: OrderedDict[str, Expression] = OrderedDict()

    def __call__(self, condition: str, args: Mapping[str, object]) -> bool:
        """True if the condition holds. Raises for one that does not parse or does not evaluate."""
        expression = self._compiled.get(condition)
        if expression is None:
            expression = self._compiled[condition] = compile_expression(condition)
            if len(self._compiled) > MAX_COMPILED:
                self._compiled.popitem(last=False)
        return bool(expression.evaluate({"args": dict(args)}, self._clock, operations=MAX_OPERATIONS))
