# The README's commands, by name.

run *args:
    python3 bootstrap.py run {{args}}

test *args:
    python3 bootstrap.py test {{args}}

setup:
    python3 bootstrap.py setup

doctor:
    python3 bootstrap.py doctor

# What pre-commit runs, over everything.
lint:
    .venv/bin/ruff check .
    .venv/bin/ruff format --check .
    .venv/bin/mypy
    .venv/bin/lint-imports --config .importlinter

bench *args:
    .venv/bin/rumi bench {{args}}

docs:
    .venv/bin/mkdocs build --strict

# Writes the locks anew from pyproject.toml.
lock:
    uv pip compile pyproject.toml --generate-hashes --python-version 3.11 --universal --no-header --no-annotate --no-emit-index-url --no-emit-find-links -o requirements/base.lock
    uv pip compile pyproject.toml --extra test --extra docs --generate-hashes --python-version 3.11 --universal --no-header --no-annotate --no-emit-index-url --no-emit-find-links -o requirements/test.lock
