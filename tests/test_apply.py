"""``manage.py apply``: the golden files, what a second run leaves alone, what is pruned."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError
from pytest_django.fixtures import Settings as SettingsWrapper

from providers.models import Credential, Provider
from routing.apply import apply
from routing.apply_read import Refused, read
from routing.models import Alias, Defaults, Revision, Rewrite, Route, Target
from tenants import keys
from tenants.models import ApiKey, Tenant
from tests.apply_site import GOLDEN, SECRETS, apply_environment, do, everything, run
from tests.readme_hooks import house_rules

pytestmark = pytest.mark.django_db
assert apply_environment and house_rules  # fixtures


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


def test_the_files_in_the_readme_apply(monkeypatch: pytest.MonkeyPatch, house_rules: Any) -> None:
    text = (GOLDEN.parents[2] / "README.md").read_text()
    for name in re.findall(r"env:(\w+)", text):
        monkeypatch.setenv(name, f"{name}-0123456789")
    files = re.findall(r"^```yaml\n(.+?)^```", text, re.MULTILINE | re.DOTALL)
    files = [file for file in files if "house_rules" not in file]  # whose class test_hooks_readme.py makes
    assert len(files) >= 2
    for file in files:
        assert apply(read(file)).lines
        assert apply(read(file)).lines == []


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
    for value in ("true", "1.5", "[1]", "{a: 1}", "{a: true}", "null", "1"):
        assert do(file % value) == ["changed rewrite set body x: value"]
        assert do(file % value) == []
    assert Rewrite.objects.get().value == 1
    assert do(file % "1.0") == []


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
    file = file.replace("name: t,", "name: u,")
    assert do(file, prune=True) == ["deleted tenant t", "created tenant u", "created key u/new"]
