"""``manage.py explain``: where a request would go and why. Nothing is sent."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from routing import question
from routing.explain_text import lines


class Command(BaseCommand):
    help = "Say where a request would go and why, by the configuration in the database. Nothing is sent."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--key", help="whose request it is: the key's name or id; without it, one without a key")
        parser.add_argument("--tenant", default="", help="whose key, where several tenants have one of that name")
        parser.add_argument("--model", default="", help="the model that is asked for, unless the file or the path says")
        parser.add_argument("--path", default="/v1/chat/completions", help="the path that the client calls")
        parser.add_argument("--file", help="the request's JSON body; - reads standard input")
        parser.add_argument(
            "--headers", "--header", action="append", default=[], help="a request header, as name: value"
        )
        parser.add_argument(
            "--address", default="", help="the address that the request comes from; without it, a good one"
        )
        parser.add_argument("--stream", action="store_true", help="as if a stream were asked for")
        parser.add_argument("--json", action="store_true", help="say it as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            key = question.find_key(options["key"], options["tenant"]) if options["key"] else None
            endpoint, path = question.endpoint_at(options["path"])
            doc = _document(options["file"]) if options["file"] else {}
            body = question.body_of(endpoint, path, doc, options["model"], True if options["stream"] else None)
            headers = _headers(options["headers"])
            question.check_headers(headers)
        except question.Unclear as error:
            raise CommandError(f"--{error.field}: {error.message}") from None
        asked = question.Question(key, endpoint, path, headers, body, options["address"])
        found = question.answer(asked)
        if options["json"]:
            self.stdout.write(json.dumps(found, ensure_ascii=False, indent=2))
        else:
            self.stdout.write("\n".join(lines(found)))


def _document(name: str) -> dict[str, Any]:
    try:
        content = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        doc = json.loads(content)
    except OSError as error:
        raise CommandError(f"{name} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise CommandError(f"{name} is not JSON.") from None
    if not isinstance(doc, dict):
        raise CommandError(f"{name} is not a JSON object.")
    return doc


def _headers(given: list[str]) -> dict[str, str]:
    found = {}
    for line in given:
        name, colon, value = line.partition(":")
        if not colon:
            raise CommandError(f"--header: write it as name: value, not {line!r}.")
        found[name.strip()] = value.strip()
    return found
