"""Keys and private keys are kept from providers, in time that grows with the text and no faster."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.call import Call
from routing.endpoint import Endpoint
from routing.hooks import HookCall, Means, Refusal, read_options
from routing.shipped.block_secrets import KINDS, MASK, PEM_REST, BlockSecrets, found
from tenants.ledger import Entry
from tenants.objects import MemoryStore

CHAT = Endpoint("chat", "openai", "chat", "v1/chat/completions")


def of(*parts: str) -> str:
    """A key that stands nowhere in this file, so that no scanner of repositories takes it for one."""
    return "".join(parts)


KEYS = {
    "aws": [
        of("AK", "IAIOSFODNN7EXAMPLE"),
        of("AS", "IAIOSFODNN7EXAMPLE"),
        of("aws_secret_access_key = ", "wJalrXUtnFEMI/K7MDENG/", "bPxRfiCYEXAMPLEKEY"),
        of('"AWS_SECRET_ACCESS_KEY": "', "wJalrXUtnFEMI/K7MDENG/", 'bPxRfiCYEXAMPLEKEY"'),
    ],
    "gcp": [of("AI", "za", "B" * 35), of("GOC", "SPX-", "c" * 28)],
    "anthropic": [of("sk-", "ant-api03-", "Ab1_" * 20)],
    "openai": [of("sk-", "proj-", "Ab1_" * 20), of("sk-", "Ab1" * 16), of("sk-", "svcacct-", "x" * 40)],
    "github": [of("gh", "p_", "a1" * 18), of("gh", "s_", "a1" * 18), of("github", "_pat_", "a" * 22, "_", "b" * 59)],
    "slack": [of("xox", "b-1234567890-", "a" * 24), of("hooks.slack", ".com/services/T0000000/B0000000/", "x" * 24)],
    "pem": [
        f"-----BEGIN {kind}PRIVATE KEY-----\nMIIB\n-----END {kind}PRIVATE KEY-----" for kind in ("", "RSA ", "OPENSSH ")
    ],
}
HARMLESS = [
    "sk-learn and sk-2", "AKIA", "AKIAIOSFODNN7", "xAKIAIOSFODNN7EXAMPLE", "the task-list-of-many-words-and-more-of-them",
    "-----BEGIN PUBLIC KEY-----", "-----BEGIN CERTIFICATE-----", "aws secret key: none", "ghp_short", "hooks.slack.com/help",
]  # fmt: skip


def hook(**options: Any) -> BlockSecrets:
    return BlockSecrets(read_options(BlockSecrets.Options, options), Means())


def hook_call(text: str, form: str = "json") -> HookCall:
    call = Call(CHAT, Entry(), "id", {"method": "POST", "headers": []}, MemoryStore())
    call.doc = {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": text}]}]}
    call.body, call.form, call.model = orjson.dumps(call.doc), form, "m"
    return HookCall(call)


CASES = [(kind, key) for kind, keys in KEYS.items() for key in keys]


@pytest.mark.parametrize(("kind", "key"), CASES)
def test_a_key_is_refused_without_being_repeated(kind: str, key: str) -> None:
    with pytest.raises(Refusal) as error:
        hook().before_request(hook_call(f"look: {key} is it"))
    assert (error.value.status, error.value.code) == (400, "secret_detected")
    assert error.value.param == "messages[0].content[0].text"
    assert key not in error.value.message and key[:12] not in error.value.message
    with pytest.raises(Refusal):
        hook().before_request(hook_call(key, form="multipart"))
    hook(kinds=[other for other in KINDS if other != kind]).before_request(hook_call(f"look: {key} is it"))


@pytest.mark.parametrize(("kind", "key"), CASES)
def test_a_key_is_masked(kind: str, key: str) -> None:
    call = hook_call(f"one {key} two {key}")
    hook(action="mask").before_request(call)
    call.take()
    text = call._call.doc["messages"][0]["content"][0]["text"]
    assert text.strip('"').count(MASK) == 2 and text.startswith("one ") and key[8:30] not in text
    assert orjson.loads(call._call.body) == call._call.doc


def test_a_private_key_without_its_end_is_masked_to_the_end() -> None:
    assert hook(action="mask").masked("a -----BEGIN PRIVATE KEY-----\nMIIB and so on") == f"a {MASK}"


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_key_passes(text: str) -> None:
    call = hook_call(text)
    before = call._call.body
    hook().before_request(call)
    hook(action="mask").before_request(call)
    call.take()
    assert call._call.body is before


@given(
    st.text(alphabet="sk-antpAKI x", max_size=200),
    st.sampled_from(CASES),
    st.text(alphabet="sk-antpAKI x", max_size=200),
)
def test_a_key_is_found_among_its_own_beginnings(before: str, case: tuple[str, str], after: str) -> None:
    with pytest.raises(Refusal):
        hook().before_request(hook_call(f"{before} {case[1]} {after}"))


def repeats(tree: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Every repetition in a parsed pattern: least, most, and what is inside."""
    for code, value in tree:
        if str(code).endswith("_REPEAT"):
            yield value
            yield from repeats(value[2])
        elif str(code) == "SUBPATTERN":
            yield from repeats(value[3])
        elif str(code) == "BRANCH":
            for branch in value[1]:
                yield from repeats(branch)


def test_no_pattern_can_take_long() -> None:
    """Every pattern is tried only where its fixed beginning stands, and can look at so many characters at the most."""
    parse = importlib.import_module("re._parser").parse
    patterns = [secret.pattern for secrets in KINDS.values() for secret in secrets]
    for pattern in patterns:
        tree = parse(pattern.pattern)
        assert tree.getwidth()[1] < 700, pattern.pattern
        ways = 1
        for _, most, inside in repeats(tree):
            if any(a != b for a, b, _ in repeats(inside)):
                assert most <= 3, f"a repetition in a repetition: {pattern.pattern}"
            elif most > 30:
                ways *= 2
        assert ways <= 2, pattern.pattern
    assert parse(PEM_REST.pattern).getwidth()[1] < 41_000


def test_beginnings_begin_their_patterns() -> None:
    for secrets in KINDS.values():
        for secret in secrets:
            for start in secret.starts:
                assert any(list(found(secret, f" {key} ")) for keys in KEYS.values() for key in keys), start
                assert re.compile(r"[A-Za-z]").search(start)
