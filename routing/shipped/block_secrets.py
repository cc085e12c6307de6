"""Keeps keys of clouds and vendors, and private keys, out of what goes to providers: refuses the request, or masks them.

Every pattern begins with a fixed text and has an end, so the time it takes grows with the text and no faster.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from routing.hooks import HookCall, Means, Refusal, option
from routing.shipped.texts import slots

PEM = "-----BEGIN"
_AFTER = r"(?![A-Za-z0-9])"


class Secret(NamedTuple):
    """``words`` are for people. ``pattern`` begins with one of ``starts``; before it stands no letter or digit, if ``alone``."""

    words: str
    starts: tuple[str, ...]
    pattern: re.Pattern[str]
    alone: bool = True


def _secret(words: str, starts: str, rest: str, alone: bool = True) -> Secret:
    return Secret(words, tuple(starts.split()), re.compile(rest), alone)


KINDS: dict[str, tuple[Secret, ...]] = {
    "aws": (
        _secret("an AWS access key", "AKIA ASIA ABIA ACCA", rf"....[A-Z2-7]{{16}}{_AFTER}"),
        _secret(
            "an AWS secret key",
            "aws AWS Aws",
            r"...(?i:.?secret.?(?:access.?)?key)[\"'\\ \t]{0,6}[:=][\"'\\ \t]{0,6}[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])",
            alone=False,
        ),
    ),
    "gcp": (
        _secret("a Google API key", "AIza", r"....[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"),
        _secret("a Google OAuth secret", "GOCSPX-", r".{7}[A-Za-z0-9_-]{28}(?![A-Za-z0-9_-])"),
    ),
    "anthropic": (_secret("an Anthropic key", "sk-ant-", r".{7}[A-Za-z0-9_-]{20,300}"),),
    "openai": (
        _secret("an OpenAI key", "sk-proj- sk-svcacct- sk-admin- sk-None-", r"sk-[a-zN]{4,7}-[A-Za-z0-9_-]{20,300}"),
        _secret("an OpenAI key", "sk-", rf"sk-[A-Za-z0-9]{{20,100}}{_AFTER}"),
    ),
    "github": (
        _secret("a GitHub token", "ghp_ gho_ ghu_ ghs_ ghr_", rf"....[A-Za-z0-9]{{36,255}}{_AFTER}"),
        _secret("a GitHub token", "github_pat_", rf".{{11}}[A-Za-z0-9]{{22}}_[A-Za-z0-9]{{59}}{_AFTER}"),
    ),
    "slack": (
        _secret("a Slack token", "xox xapp-", r"x(?:ox[abeoprs]|app)-[A-Za-z0-9-]{10,250}"),
        _secret(
            "a Slack webhook",
            "hooks.slack.com/",
            r".{16}(?:services|workflows)/T[A-Za-z0-9_]{6,20}/[A-Za-z0-9_]{6,20}/[A-Za-z0-9_]{16,40}",
            alone=False,
        ),
    ),
    "pem": (
        _secret("a private key", PEM, r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----", alone=False),
    ),
}
MASK = "[SECRET]"
#: To mask a private key, all of it goes.
PEM_REST = re.compile(r"(?:[A-Za-z0-9+/=\s,:.\-]|\\[nr]){0,20000}?-----END [A-Z0-9 ]{1,50}-----")


class BlockSecrets:
    on_failure = "closed"

    @dataclass(frozen=True)
    class Options:
        kinds: tuple[Literal["aws", "gcp", "anthropic", "openai", "github", "slack", "pem"], ...] = option(
            tuple(KINDS), "What is looked for."
        )
        action: Literal["refuse", "mask"] = option("refuse", "Refuse such a request, or mask what it must not hold.")

    def __init__(self, options: Options, means: Means) -> None:
        self.mask = options.action == "mask"
        self.secrets = [secret for kind in options.kinds for secret in KINDS[kind]]

    def before_request(self, call: HookCall) -> None:
        if call.form != "json":
            self._look(call.body.decode("latin-1"), "body")
            return
        for slot in slots(call.doc):
            if not self.mask:
                self._look(slot.text, slot.path)
            elif (masked := self.masked(slot.text)) != slot.text:
                slot.put(masked)

    def _look(self, text: str, path: str) -> None:
        for secret in self.secrets:
            for _ in found(secret, text):
                message = f"The request holds what looks like {secret.words}. Take it out."
                raise Refusal(message, "invalid_request", param=path, code="secret_detected")

    def masked(self, text: str) -> str:
        parts, at = [], 0
        for start, end in sorted(span for secret in self.secrets for span in found(secret, text)):
            if start >= at:
                parts += [text[at:start], MASK]
            at = max(at, end)
        return "".join([*parts, text[at:]])


def found(secret: Secret, text: str) -> Iterator[tuple[int, int]]:
    """Where such secrets stand."""
    for start in secret.starts:
        at = text.find(start)
        while at >= 0:
            match = secret.pattern.match(text, at)
            if match is None or (secret.alone and at and text[at - 1].isalnum()):
                at = text.find(start, at + 1)
                continue
            end = match.end()
            if start == PEM:
                rest = PEM_REST.match(text, end)
                end = rest.end() if rest is not None else len(text)
            yield at, end
            at = text.find(start, end)
