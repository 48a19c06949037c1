"""The kernel's own log: one event a line on standard error, as JSON or for a person's eyes."""

from __future__ import annotations

import logging
import sys

import structlog

from core_runtime.settings import KernelSettings


def configure_logging(settings: KernelSettings) -> None:
    """Send everything, ours and the libraries', through one renderer. A value never becomes a second line (SE-10)."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    final: structlog.typing.Processor = structlog.processors.JSONRenderer()
    if settings.log_format == "console":
        final = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, final],
        )
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level.upper())
    if settings.log_format == "console" and settings.log_level != "debug":
        logging.getLogger("rumi.access").setLevel(logging.WARNING)  # a person at the terminal made those requests
    for noisy in ("watchdog", "asyncio", "urllib3", "docker"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
