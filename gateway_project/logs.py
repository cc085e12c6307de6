"""Where words go: what servers and libraries say to stderr. The request log, JSON on stdout, is the data plane's own."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

#: Accepted spellings, and Python's names.
LEVELS = {"debug": "DEBUG", "info": "INFO", "warn": "WARNING", "warning": "WARNING", "error": "ERROR"}


class NotCancelled(logging.Filter):
    """Drops the traceback of a request that was cancelled because the server goes down: that is no error."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


def logging_config(level: str) -> dict[str, Any]:
    """``LOGGING``. Libraries are heard from warnings on, unless the operator asked for everything."""
    libraries = "DEBUG" if level == "DEBUG" else "WARNING"
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
        "filters": {"not_cancelled": {"()": "gateway_project.logs.NotCancelled"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["not_cancelled"]}},
        "root": {"handlers": ["stderr"], "level": libraries},
        "loggers": {
            **{name: {"level": level} for name in ("gateway_project", "providers", "routing", "tenants")},
            # Django's own handlers would say everything twice, and mail it.
            "django": {"handlers": [], "level": libraries, "propagate": True},
            "django.server": {"handlers": [], "level": libraries, "propagate": True},
        },
    }
