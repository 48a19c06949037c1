"""Who may import whom, checked by import-linter over every import, type-only ones included."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_import_contracts_are_kept():
    command = [str(Path(sys.executable).parent / "lint-imports"), "--config", ".importlinter", "--no-cache"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_code_is_formatted_and_clean():
    ruff = str(Path(sys.executable).parent / "ruff")
    for arguments in (["check", "."], ["format", "--check", "."]):
        result = subprocess.run([ruff, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
        assert result.returncode == 0, result.stdout + result.stderr


def test_the_types_are_strict():
    mypy = str(Path(sys.executable).parent / "mypy")
    result = subprocess.run([mypy], cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr
