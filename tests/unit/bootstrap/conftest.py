"""What the tests of the set-up share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.bootstrap.support import FakeEngine, FakePython, FakeRunner, make_site, unpack_nothing


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "checkout"


@pytest.fixture
def runner(root: Path) -> FakeRunner:
    """A machine with a Python that makes virtual environments, and a mmdebstrap."""
    return FakeRunner({**FakePython(root).programs, "mmdebstrap": unpack_nothing})


@pytest.fixture
def site(root: Path, runner: FakeRunner):
    return make_site(root, runner=runner)


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeEngine]:
    engine = FakeEngine(tmp_path)
    yield engine
    engine.close()
