"""``manage.py apply``: the golden files, what a second run leaves alone, what a wrong file cannot do, and the secrets."""

from __future__ import annotations

import io
import json
import re
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase
from pytest_django.fixtures import Settings as SettingsWrapper

from providers.models import Credential, Provider
from routing import apply_read
from routing.apply import apply
from routing.apply_legacy import duration
from routing.apply_read import Refused, read
from routing.models import Alias, Defaults, Revision, RevisionCounter, Rewrite, Route, Target, Tombstone
from routing.vendors import Vendor
from tenants import keys
from tenants.models import ApiKey, Tenant

GOLDEN = Path(__file__).parent / "golden" / "apply"
SECRETS = {"GOLDEN_API_KEY": "sk-golden-0123456789", "GOLDEN_KEY_TOKEN": "gw-golden-token-0123456789"}
MODELS = (
    Provider,
    Credential,
    Tenant,
    ApiKey,
    Route,
    Target,
    Alias,
    Rewrite,
    Defaults,
    Revision,
    RevisionCounter,
    Tombstone,
)


def everything() -> list[Any]:
    return [list(model._base_manager.order_by("pk").values()) for model in MODELS]


def run(file: Path | str, *options: str) -> str:
    """What the command prints."""
    out = io.StringIO()
    call_command("apply", str(file), *options, stdout=out, stderr=out)
    return out.getvalue()


def do(text: str, **options: Any) -> list[str]:
    """Apply a document without the command; the lines of its report."""
    return apply(read("version: 1\n" + text), **options).lines


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, settings: SettingsWrapper, tmp_path: Path) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    settings.GATEWAY_DATA_DIR = tmp_path


pytestmark = pytest.mark.django_db


# Golden files


@pytest.mark.parametrize("file", sorted(GOLDEN.glob("*.yaml")), ids=lambda file: file.stem)
def test_a_golden_file_is_applied_once(file: Path) -> None:
    before, expected = everything(), file.with_suffix(".out").read_text()
    dry = run(file, "--dry-run")
    assert everything() == before
    printed = run(file)
    assert expected in printed
    assert dry.splitlines()[:-1] == printed.splitlines()[:-1]
    after = everything()
    assert after != before
    for options in ((), ("--prune",), ("--dry-run",)):
        assert "0 changes; unchanged: " in run(file, *options)
        assert everything() == after


@pytest.mark.parametrize("file", sorted(GOLDEN.glob("refused/*.yaml")), ids=lambda file: file.stem)
def test_a_refused_file_names_its_lines_and_changes_nothing(file: Path) -> None:
    do("providers: [{name: before, kind: openai}]")
    before = everything()
    with pytest.raises(CommandError) as refused:
        run(file)
    *found, last = str(refused.value).splitlines()
    expected = re.findall(r"^# (\d+): (.+)$", file.read_text(), re.MULTILINE)
    assert len(found) == len(expected), found
    for line, (number, text) in zip(found, expected, strict=True):
        assert line.startswith(f"{file}:{number}: ")
        assert text in line
    assert last == "Nothing was changed."
    assert everything() == before


def test_what_the_full_file_makes(settings: SettingsWrapper) -> None:
    run(GOLDEN / "full.yaml")
    main, local = Provider.objects.get(name="main"), Provider.objects.get(name="local")
    assert (main.title, main.max_retries, main.extra_headers) == ("The main one", 1, {"x-team": "platform"})
    assert main.credentials.get().secret == SECRETS["GOLDEN_API_KEY"]
    assert (local.enabled, local.apis, local.connect_timeout, local.idle_timeout) == (
        False,
        ["chat", "embeddings"],
        2.5,
        300,
    )
    route = Route.objects.get(name="gpt-*")
    assert (route.title, route.reply_model, route.allowed_fields) == ("5", "asked", ["models"])
    values = list(route.targets.values_list("provider__name", "model", "api", "weight", "priority", "enabled"))
    assert values == [("main", "", "", 1, 0, True), ("local", "llama-4", "chat", 2, 1, False)]
    assert list(Target.objects.filter(route__name__startswith="embed").values_list("model", flat=True)) == [
        "010",
        "010",
    ]
    pepper = settings.GATEWAY_KEY_PEPPERS[0]
    prod, staging = ApiKey.objects.order_by("name")
    assert prod.digest == keys.digest("gw-golden-key-0123456789", pepper).hex()
    assert staging.digest == keys.digest(SECRETS["GOLDEN_KEY_TOKEN"], pepper).hex()
    assert [key.expires_at.isoformat() for key in (prod, staging) if key.expires_at] == [
        "2031-05-01T00:00:00+00:00",
        "2031-05-01T08:00:00+00:00",
    ]
    assert (prod.allowed_models, prod.allowed_providers, prod.may_choose_provider) == (["gpt-*"], ["main"], False)
    assert list(Rewrite.objects.values_list("position", "action", "name", "value", "route__name")) == [
        (0, "default", "temperature", 0, None),
        (5, "set", "X-Trace", "on", "gpt-*"),
        (5, "remove", "X-Trace", None, "gpt-*"),
    ]
    assert Tenant.objects.get(anonymous=True).name == "visitors"
    assert list(Alias.objects.order_by("model").values_list("model", "tenant__name")) == [
        ("gpt-5-mini", None),
        ("gpt-5-nano", "acme"),
    ]
    assert list(Defaults.objects.values_list("provider__name", "model")) == [("main", "gpt-5-mini")]


# Only what is named, and only what changes


def test_only_the_fields_named_are_set() -> None:
    do("providers: [{name: x, kind: openai, title: X, max_retries: 1, api_key: sk-0123456789}]")
    assert do("providers: [{name: x, max_retries: 3}]") == ["changed provider x: max_retries"]
    provider = Provider.objects.get()
    assert (provider.title, provider.max_retries, provider.credentials.get().secret) == ("X", 3, "sk-0123456789")
    assert do("providers: [{name: x, api_key: sk-other-key}]") == ["changed provider x: api_key"]
    assert provider.credentials.get().secret == "sk-other-key"
    assert do('providers: [{name: x, api_key: ""}]') == ["changed provider x: api_key"]
    assert not provider.credentials.exists()


def test_a_new_address_says_that_it_drops_the_credentials() -> None:
    do("providers: [{name: x, kind: openai, api_key: sk-0123456789}]")
    (line,) = do("providers: [{name: x, base_url: 'https://x.example/v1'}]")
    assert line == "changed provider x: base_url, credentials dropped, since they belong to the address before"
    assert not Credential.objects.exists()
    do("providers: [{name: x, base_url: 'https://y.example/v1', api_key: sk-0123456789}]")
    assert Credential.objects.get().secret == "sk-0123456789"


def test_a_secret_that_no_encryption_key_opens_is_replaced() -> None:
    file = "providers: [{name: x, kind: openai, api_key: sk-0123456789}]"
    do(file)
    Credential.objects.update(sealed="gAAAAunreadable")
    assert do(file) == ["changed provider x: api_key"]
    assert Credential.objects.get().secret == "sk-0123456789"


def test_json_values_that_python_takes_for_equal_are_told_apart() -> None:
    file = "rewrites: [{place: body, action: set, name: x, value: %s}]"
    do(file % "1")
    for value in ("true", "1.0", "[1]", "{a: 1}", "{a: true}", "null", "1"):
        assert do(file % value) == ["changed rewrite set body x: value"]
        assert do(file % value) == []
    assert Rewrite.objects.get().value == 1


def test_targets_are_the_whole_list() -> None:
    do(
        "providers: [{name: x, kind: openai}]\nroutes: [{model: r, targets: [{provider: x, model: a}, {provider: x, model: b, weight: 7}]}]"
    )
    kept = Target.objects.get(model="b").pk
    assert do("routes: [{model: r, title: R}]") == ["changed route r: title"]
    lines = do("routes: [{model: r, targets: [{provider: x, model: c}, {provider: x, model: b}]}]")
    assert lines == ["deleted target r/x/a", "created target r/x/c"]
    assert Target.objects.get(model="b").pk == kept
    assert Target.objects.get(model="b").weight == 7


def test_rewrites_are_found_by_scope_place_name_and_action() -> None:
    twins = [
        Rewrite.objects.create(place="header", action="set", name="X-A", value=value, position=1)
        for value in ("1", "2")
    ]
    assert do('rewrites: [{place: header, action: set, name: x-a, value: "3"}]') == [
        "changed rewrite set header x-a: name, value"
    ]
    assert list(Rewrite.objects.values_list("pk", "value")) == [(twins[0].pk, "3"), (twins[1].pk, "2")]
    assert do('rewrites: [{place: header, action: set, name: x-a, value: "3"}]', prune=True) == [
        "deleted rewrite set header x-a"
    ]
    assert Rewrite.objects.get().pk == twins[0].pk


def test_the_anonymous_mark_moves_in_any_order() -> None:
    do("tenants: [{name: a, anonymous: true}, {name: b}]")
    do("tenants: [{name: b, anonymous: true}, {name: a, anonymous: false}]")
    assert Tenant.objects.get(anonymous=True).name == "b"
    with pytest.raises(Refused, match="Another tenant is already marked"):
        do("tenants: [{name: a, anonymous: true}]")


def test_the_command_is_the_actor() -> None:
    run(GOLDEN / "older-unversioned.yaml")
    assert Revision.objects.get().actor == "apply older-unversioned.yaml"


# Pruning


ALL = """
providers: [{name: p, kind: openai}, {name: q, kind: groq}]
tenants: [{name: s, keys: [{name: k}, {name: l}]}, {name: t}]
routes: [{model: r, targets: [{provider: p}]}, {model: u, targets: [{provider: q}]}]
aliases: [{name: a, model: r}, {name: b, model: r}]
rewrites: [{place: body, action: remove, name: x}, {place: body, action: remove, name: y}]
"""


@pytest.mark.parametrize(
    ("file", "deleted"),
    [
        ("providers: [{name: p}, {name: q}]", []),
        ("tenants: [{name: s}]", ["tenant t"]),
        ("tenants: [{name: s, keys: [{name: k}]}, {name: t}]", ["key s/l"]),
        ("tenants: []", ["tenant s", "tenant t"]),
        ("routes: [{model: r}]", ["route u"]),
        ("aliases: [{name: a}]\nrewrites: []", ["alias b", "rewrite remove body x", "rewrite remove body y"]),
        ("providers: [{name: p}]\nroutes: [{model: r}]", ["route u", "provider q"]),
    ],
)
def test_pruning_deletes_what_the_lists_of_the_file_do_not_have(file: str, deleted: list[str]) -> None:
    do(ALL)
    assert do(file) == []
    assert do(file, prune=True) == [f"deleted {label}" for label in deleted]
    assert do(file, prune=True) == []


def test_pruning_what_is_in_use_is_refused_with_its_user() -> None:
    do(ALL)
    before = everything()
    with pytest.raises(Refused) as refused:
        do("aliases: []\nproviders: [{name: p}]", prune=True)
    assert refused.value.problems == ((3, "provider q cannot be pruned: it is still in use by target q/(same) of u."),)
    assert everything() == before
    do("routes: []", prune=True)
    with pytest.raises(Refused, match="provider q cannot be pruned: other parts of the file refer to it"):
        do("providers: [{name: p}]\nrewrites: [{place: body, action: remove, name: x, provider: q}]", prune=True)
    assert do("providers: [{name: p}]", prune=True) == ["deleted provider q"]


def test_a_key_moves_from_one_that_is_pruned() -> None:
    do("tenants: [{name: t, keys: [{name: old, key: gw-01234567890123456789}]}]")
    file = "tenants: [{name: t, keys: [{name: new, key: gw-01234567890123456789}]}]"
    with pytest.raises(Refused, match="in use already"):
        do(file)
    assert do(file, prune=True) == ["deleted key t/old", "created key t/new"]


# Keys and secrets


def test_a_new_key_goes_to_a_file_of_its_own(tmp_path: Path, settings: SettingsWrapper) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text("version: 1\ntenants: [{name: t, keys: [{name: k}]}]")
    assert "created key t/k" in run(file, "--dry-run")
    assert not list(tmp_path.glob("*.txt"))
    printed = run(file)
    (kept,) = tmp_path.glob("*.txt")
    label, plain = kept.read_text().strip().split(": ")
    assert label == "key t/k"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert ApiKey.objects.get().digest == keys.digest(plain, settings.GATEWAY_KEY_PEPPERS[0]).hex()
    assert str(kept) in printed
    assert plain not in printed
    run(file)
    assert list(tmp_path.glob("*.txt")) == [kept]


def test_a_new_key_is_printed_where_that_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRINT_SECRETS", "1")
    file = tmp_path / "keys.yaml"
    file.write_text("version: 1\ntenants: [{name: t, keys: [{name: k}]}]")
    assert re.search(r"^key t/k: gw-[\w-]{43}$", run(file), re.MULTILINE)
    assert not list(tmp_path.glob("*.txt"))


def test_a_key_that_cannot_be_kept_is_not_made(tmp_path: Path, settings: SettingsWrapper) -> None:
    settings.GATEWAY_DATA_DIR = tmp_path / "gone"
    file = tmp_path / "keys.yaml"
    file.write_text("version: 1\ntenants: [{name: t, keys: [{name: k}]}]")
    with pytest.raises(FileNotFoundError):
        run(file)
    assert not Tenant.objects.exists()


def test_no_secret_is_printed(tmp_path: Path) -> None:
    secrets = ["sk-canary-0123456789", "gw-canary-0123456789", *SECRETS.values()]
    good = f"providers: [{{name: p, kind: openai, api_key: {secrets[0]}}}]\ntenants: [{{name: t, keys: [{{name: k, key: {secrets[1]}}}]}}]\n"
    file = tmp_path / "file.yaml"
    said = []
    for text in (
        good,
        good + "aliases: [{name: a*, model: b}]",
        good + "broken: [",
        good.replace("kind: openai", "kind: openai\n  kind: x"),
        good.replace("}]}]", "}, {name: l, key: gw-canary-0123456789}]}]"),
    ):
        file.write_text("version: 1\n" + text)
        try:
            said.append(run(file, "--verbosity", "2"))
        except CommandError as error:
            said.append(str(error))
    said.append(run(GOLDEN / "full.yaml", "--verbosity", "3"))
    assert [secret for secret in secrets if secret in "\n".join(said)] == []
    assert sum("Nothing was changed." in one for one in said) == 4


def test_a_key_under_an_older_pepper_is_unchanged(settings: SettingsWrapper) -> None:
    file = "tenants: [{name: t, keys: [{name: k, key: gw-01234567890123456789}]}]"
    do(file)
    settings.GATEWAY_KEY_PEPPERS = [b"a new pepper", *settings.GATEWAY_KEY_PEPPERS]
    assert do(file) == []
    with pytest.raises(Refused, match="in use already"):
        do("tenants: [{name: u, keys: [{name: k, key: gw-01234567890123456789}]}]")


# The older form


def test_a_new_provider_of_an_older_file_takes_its_key_from_the_environment(settings: SettingsWrapper) -> None:
    settings.GATEWAY_VENDORS = [Vendor("openai", "sk-from-environment", "https://eu.openai.example/v1", 77, 5)]
    run(GOLDEN / "older-unversioned.yaml")
    provider = Provider.objects.get()
    assert (provider.first_byte_timeout, provider.max_retries) == (77, 5)
    assert (provider.credentials.get().secret, provider.base_url) == (
        "sk-from-environment",
        "https://eu.openai.example/v1",
    )
    settings.GATEWAY_VENDORS = [Vendor("openai", "sk-another", "https://us.openai.example/v1")]
    assert "0 changes" in run(GOLDEN / "older-unversioned.yaml")


def test_what_an_older_file_means() -> None:
    ignored = run(GOLDEN / "older-models.yaml").splitlines()[0]
    assert ignored.endswith(": metrics, models.claude-sonnet.tier")
    assert set(Provider.objects.values_list("kind", "first_byte_timeout")) == {("openai", 90), ("anthropic", 90)}
    assert list(Defaults.objects.values_list("provider__name", "model")) == [("anthropic", "gpt-5")]
    assert Route.objects.get(name="gpt-5").title == "The large one"

    ignored = run(GOLDEN / "older-providers.yaml").splitlines()[0]
    assert ignored.endswith(": server, cache, providers.anthropic.version")
    assert Provider.objects.get(name="openai").credentials.get().secret == SECRETS["GOLDEN_API_KEY"]
    assert [Provider.objects.get(name=name).first_byte_timeout for name in ("openai", "anthropic")] == [60, 120]
    assert Provider.objects.get(name="inhouse").kind == "openai-compatible"
    assert list(Defaults.objects.values_list("provider__name", "model")) == [("ollama", "gpt-5")]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5m", 300), ("1h30m", 5400), ("500ms", 0.5), ("1.5s", 1.5), ("90", 90), (90, 90), ("2h0m1s", 7201)],
)
def test_durations(text: Any, seconds: float) -> None:
    assert duration(text, 1) == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "5x", "5m x", "-5m", "5 minutes", None, True])
def test_what_is_no_duration(text: Any) -> None:
    if text == "5":
        assert duration(text, 1) == 5
        return
    with pytest.raises(Refused):
        duration(text, 1)


# Reading


LOADERS = [yaml.SafeLoader, *([yaml.CSafeLoader] if hasattr(yaml, "CSafeLoader") else [])]
LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{c}: &{c} [{','.join([f'*{b}'] * 10)}]\n" for b, c in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 0, "empty"),
        ("# nothing", 0, "empty"),
        ("- 1", 1, "must be a mapping"),
        ("a: 1\n\na: 2", 3, "a stands here twice; the first is on line 1"),
        ("x: {b: 1,\n b: 2}", 2, "b stands here twice"),
        ("a: &x\n  - *x", 2, "names nothing that ends before it"),
        ("a: 1\nb: *no", 2, "*no names nothing"),
        ("a: !ruby/object 1", 1, "the tag !ruby/object is not understood"),
        ("a: !!python/name:os.system x", 1, "is not understood"),
        ("a: 1\nb: \x00", 2, "a control character"),
        ("a: .inf", 1, "not a number that JSON knows"),
        ("a: !!int x", 1, "not of the type"),
        ("a: " + "1" * 5000, 1, "not of the type"),
        ("a: " + "[" * 90_000, 1, "nested too deeply"),
        ("- " * 90_000, 1, "must be a mapping"),
        (LAUGHS, 7, "too large"),
        ("a: 1\n---\nb: 1", 2, "a second document"),
        ("? [a]\n: b", 1, "a name must be text"),
        ("x: [1]\n<<: *x", 2, "names nothing"),
        ("x: &x [1]\n<<: *x", 2, "merges mappings only"),
        ("a: b\n\tc: d", 2, ""),
    ],
)
def test_what_cannot_be_read_names_its_line(
    monkeypatch: pytest.MonkeyPatch, loader: Any, text: str, line: int, words: str
) -> None:
    monkeypatch.setattr(apply_read, "LOADER", loader)
    with pytest.raises(Refused) as refused:
        read(text)
    ((found, said),) = refused.value.problems
    assert found == line
    assert words in said


@pytest.mark.parametrize("loader", LOADERS)
def test_what_is_read(monkeypatch: pytest.MonkeyPatch, loader: Any) -> None:
    monkeypatch.setattr(apply_read, "LOADER", loader)
    found = read(
        "a: &a {b: 010, c: yes}\nd:\n  <<: [*a]\n  b: 2\n  e: 2030-01-01\nf: [1.5, ~, 'no', *a]\n'<<': {g: 1}\n7: |\n  x\n"
    )
    inner = {"b": 8, "c": True}
    assert found == {
        "a": inner,
        "d": {"b": 2, "e": "2030-01-01", "c": True},
        "f": [1.5, None, "no", inner],
        "<<": {"g": 1},
        "7": "x\n",
    }
    assert found.lines == {"a": 1, "d": 2, "f": 6, "<<": 7, "7": 8}
    assert found["d"].lines == {"b": 4, "e": 5, "c": 1}
    assert (found["a"].text("b"), found["d"].text("b"), found["d"].text("c")) == ("010", "2", "yes")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.text(), JSON))
def test_whatever_pyyaml_writes_is_read_as_it_was(document: dict[str, Any]) -> None:
    assert read(yaml.safe_dump(document)) == document


def test_files_that_are_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file.yaml"
    with pytest.raises(CommandError, match="No such file"):
        run(file)
    file.write_bytes(b"version: 1\ntenants: [{name: t, title: \xff}]")
    with pytest.raises(CommandError, match=r"file.yaml:2: this is not UTF-8"):
        run(file)
    file.write_bytes(b"\xef\xbb\xbfversion: 1\r\ntenants: [{name: t}]\r\n")
    assert "created tenant t" in run(file)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"version: 1\ntenants: [{name: u}]")))
    assert "created tenant u" in run("-")


# Properties


def test_many_keys_cost_no_query_each_unless_they_change() -> None:
    def file(title: str, count: int) -> str:
        return f"tenants:\n- name: t\n  title: {title}\n  keys:\n" + "".join(
            f"  - {{name: k{n}, key: gw-{n:020d}}}\n" for n in range(count)
        )

    with CaptureQueriesContext(
        connection,
    ) as creating:
        do(file("a", 300))
    assert ApiKey.objects.count() == 300
    assert len(creating) < 300 * 6
    with CaptureQueriesContext(connection) as again:
        do(file("a", 300))
    assert len(again) < 12, [query["sql"] for query in again]


NAMES = st.sampled_from(["a", "b", "c"])
FLAG = st.booleans()


def entry(
    required: dict[str, st.SearchStrategy[Any]], optional: dict[str, st.SearchStrategy[Any]]
) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(required, optional=optional)


def unique(one: st.SearchStrategy[dict[str, Any]], *names: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(one, max_size=3, unique_by=lambda found: tuple(str(found.get(name)) for name in names))


TITLE = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=20)
PROVIDERS = entry(
    {"name": NAMES, "kind": st.sampled_from(["openai", "groq"])},
    {
        "title": TITLE,
        "enabled": FLAG,
        "api_key": st.sampled_from(["", "sk-1", "sk-2"]),
        "idle_timeout": st.floats(0.001, 1000),
        "base_url": st.sampled_from(["", "https://x.example/v1"]),
    },
)
KEYS = entry(
    {"name": NAMES},
    {
        "enabled": FLAG,
        "expires_at": st.datetimes().map(str),
        "allowed_models": st.lists(st.sampled_from(["gpt-*", "x"]), max_size=2),
    },
)
TENANTS = entry({"name": NAMES}, {"title": TITLE, "keys": unique(KEYS, "name")})
TARGETS = entry(
    {"provider": NAMES}, {"model": NAMES, "weight": st.integers(0, 9), "priority": st.integers(-9, 9), "enabled": FLAG}
)
ROUTES = entry(
    {"model": st.sampled_from(["a", "b*"])}, {"title": TITLE, "targets": unique(TARGETS, "provider", "model")}
)
REWRITES = entry(
    {"place": st.just("body"), "action": st.sampled_from(["set", "default"]), "name": NAMES},
    {"value": JSON, "position": st.integers(-9, 9), "provider": NAMES},
)
DOCUMENTS = st.fixed_dictionaries(
    {
        "version": st.just(1),
        "providers": unique(PROVIDERS, "name"),
        "tenants": unique(TENANTS, "name"),
        "routes": unique(ROUTES, "model"),
        "rewrites": unique(REWRITES, "provider", "name", "action"),
    }
)


class Properties(TestCase):
    @settings(max_examples=60, deadline=None)
    @given(first=DOCUMENTS, second=DOCUMENTS, prune=FLAG)
    def test_twice_is_once_and_what_is_refused_changes_nothing(
        self, first: dict[str, Any], second: dict[str, Any], prune: bool
    ) -> None:
        for document in (first, second):
            before = everything()
            text = yaml.safe_dump(document, allow_unicode=True, sort_keys=False)
            try:
                apply(read(text), prune=prune)
            except Refused as refused:
                lines = text.splitlines()
                assert refused.problems
                assert all(1 <= line <= len(lines) for line, _ in refused.problems)
                assert everything() == before
                continue
            after = everything()
            again = apply(read(text), prune=prune)
            assert (again.lines, again.issued) == ([], [])
            assert everything() == after

    @settings(max_examples=100, deadline=None)
    @given(document=DOCUMENTS, data=st.data())
    def test_a_spoiled_document_is_refused_or_applied_whole(
        self, document: dict[str, Any], data: st.DataObject
    ) -> None:
        text = json.dumps(document)
        start, end = sorted(data.draw(st.tuples(st.integers(0, len(text)), st.integers(0, len(text)))))
        text = text[:start] + data.draw(st.text(max_size=5)) + text[min(end, start + 20) :]
        before = everything()
        try:
            apply(read(text))
        except Refused:
            assert everything() == before
