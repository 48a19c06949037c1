"""JSON Schemas of strangers (Draft 2020-12), checked when they come in and bounded when they are used.

A schema is written by a pack and applied to data of anybody, on the kernel's one loop. So at load: size, depth and enum
caps, local `$ref` only, no recursion of references (their price can double with every level), patterns only for the
linear engine of `patterns`. And at use: bounded data, a time budget that every keyword checks, no quadratic keyword,
and answers that name the place and the rule but never repeat the data, which may be secret. Nothing is ever fetched.
"""

from __future__ import annotations

from core_runtime.schemas.answers import SchemaProblem
from core_runtime.schemas.compiled import CompiledSchema, compile_schema, measure
from core_runtime.schemas.shelf import SchemaShelf

__all__ = ["CompiledSchema", "SchemaProblem", "SchemaShelf", "compile_schema", "measure"]
