"""The expression language `${...}`: text to syntax, syntax to closures. No Python object is ever reachable from it."""
