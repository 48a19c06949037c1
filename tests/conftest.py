"""What holds for every test: the long versions run in the scheduled job alone."""

import os
import signal

import pytest

SCHEDULED = os.environ.get("RUMI_TEST_SCHEDULED") == "1"


def pytest_configure() -> None:
    """Whoever starts the suite in the background hands on an ignored Ctrl-C; the programs under test must hear it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked `scheduled` unless this is the scheduled job; each has a bounded twin that CI runs."""
    if SCHEDULED:
        return
    long = [item for item in items if item.get_closest_marker("scheduled")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]
