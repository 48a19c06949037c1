"""Makes the reference pages and the JSON Schemas out of the code. `docs/generate_reference.py` runs it."""
