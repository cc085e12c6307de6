"""The settings of attempts: each is edited in the admin, by REST and by apply, and arrives in what requests read."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from providers.models import Credential, UpstreamModel
from routing.apply_read import Refused
from routing.load import Loader
from tests.admin_site import form_data
from tests.api_site import api, no_throttle_left_over
from tests.apply_site import apply_environment, do, everything
from tests.attempt_rows import VALUES, Rows, document, faults, made, page_of, patch, post, stored

pytestmark = pytest.mark.django_db
assert api and no_throttle_left_over and apply_environment and made  # fixtures


@pytest.mark.parametrize("kind", VALUES)
def test_the_admin_writes_and_shows_them(admin_client: Client, made: Rows, kind: str) -> None:
    values = VALUES[kind]
    assert stored(made[kind], values) != values
    reply = post(admin_client, made, kind, values)
    assert reply.status_code == 302, faults(reply)
    assert stored(made[kind], values) == values
    url, prefix = page_of(made, kind)
    assert admin_client.post(url, form_data(admin_client.get(url))).status_code == 302
    assert stored(made[kind], values) == values
    assert prefix or all(f'name="{name}"' in admin_client.get(url).content.decode() for name in values)


@pytest.mark.parametrize("kind", VALUES)
def test_rest_writes_and_shows_them(api: APIClient, made: Rows, kind: str) -> None:
    values = VALUES[kind]
    reply = patch(api, made, kind, values)
    assert reply.status_code == 200, reply.content
    assert reply.json().items() >= values.items()
    assert stored(made[kind], values) == values


@pytest.mark.parametrize("kind", VALUES)
def test_apply_writes_them_once(made: Rows, kind: str) -> None:
    values = VALUES[kind]
    (line,) = do(document(kind, values))
    assert line.startswith(f"changed {kind} ") and line.partition(": ")[2].split(", ") == sorted(
        values, key=[field.name for field in made[kind]._meta.fields].index
    )
    assert stored(made[kind], values) == values
    assert do(document(kind, values)) == []


WRONG: list[tuple[str, str, Any]] = [
    ("provider", "max_concurrent", -1),
    ("provider", "max_concurrent", 1_000_001),
    ("provider", "max_waiting", "many"),
    ("provider", "queue_wait", 0),
    ("provider", "breaker", "ajar"),
    ("provider", "breaker_ratio", 0),
    ("provider", "breaker_ratio", 1.5),
    ("provider", "breaker_requests", 0),
    ("provider", "breaker_pause", 86401),
    ("credential", "weight", -1),
    ("model", "abilities", {"sings": True}),
    ("model", "abilities", {"tools": "no"}),
    ("model", "abilities", ["tools"]),
    ("route", "strategy", "fastest"),
    ("route", "sticky_by", "colour"),
    ("route", "deadline", 0),
    ("route", "connect_timeout", -1),
    ("route", "first_byte_timeout", 0),
    ("route", "idle_timeout", "long"),
    ("route", "keep_alive", 0.5),
    ("target", "conditions", {"tags": []}),
    ("target", "conditions", {"times": [{"days": ["someday"]}]}),
    ("target", "conditions", []),
    ("target", "fallback_for", "fun"),
    ("tenant", "queue_weight", 0),
    ("key", "may_explain", "perhaps"),
]


@pytest.mark.parametrize(("kind", "field", "value"), WRONG)
def test_wrong_values_are_refused_by_name(
    admin_client: Client, api: APIClient, made: Rows, kind: str, field: str, value: Any
) -> None:
    before = everything()
    reply = patch(api, made, kind, {field: value})
    assert (reply.status_code, list(reply.json())) == (400, [field])
    with pytest.raises(Refused) as refused:
        do(document(kind, {field: value}))
    ((_, words),) = refused.value.problems
    assert f": {field}: " in words
    if kind != "key":  # a switch knows no third state
        assert list(faults(post(admin_client, made, kind, {field: value}))) == [field]
    assert everything() == before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tools: false", "This is not JSON"),
        ("[" * 100_000, "This is not JSON"),
        ('{"tags": [NaN]}', "This is not JSON"),
        ('{"tags": ["\\ud800"]}', "This is not JSON"),
        ('{"tags": ["\\u0000"]}', "Null characters"),
        ("[]", "Give an object"),
        ("null", "Give an object"),
        ('{"tags": []}', "conditions.tags must name something"),
    ],
)
def test_conditions_that_cannot_be_read(admin_client: Client, made: Rows, text: str, words: str) -> None:
    url, prefix = page_of(made, "target")
    data = form_data(admin_client.get(url)) | {f"{prefix}conditions": text}
    reply = admin_client.post(url, data)
    assert words in faults(reply)["conditions"]
    assert form_data(reply)[f"{prefix}conditions"] == text
    assert admin_client.post(url, data | {f"{prefix}conditions": "  "}).status_code == 302
    assert stored(made["target"], ["conditions"]) == {"conditions": {}}


def test_they_arrive_in_what_requests_read(made: Rows) -> None:
    for kind, values in VALUES.items():
        for name, value in values.items():
            setattr(made[kind], name, value)
        made[kind].save()
    table = Loader().refresh()
    upstream = table.upstreams[made["provider"].pk]
    assert {name: getattr(upstream, name) for name in VALUES["provider"]} == VALUES["provider"]
    assert upstream.credentials[0].weight == 3
    ability = table.abilities[made["provider"].pk, "m"]
    assert (ability.flags, ability.context_length) == ((("tools", False),), 8192)
    route = table.routes["fast"]
    (target,) = route.targets
    given = VALUES["route"]
    for name in ("strategy", "sticky_by", "deadline", "keep_alive"):
        assert getattr(route, name) == given[name]
    for name in ("connect_timeout", "first_byte_timeout", "idle_timeout"):
        assert getattr(target.upstream, name) == given[name] != getattr(upstream, name)
    assert target.conditions is not None and target.conditions.flags == (("tools", False),)
    assert target.fallback_for == "context_length"
    assert table.tenants[made["tenant"].pk].queue_weight == 4
    assert [key.may_explain for key in table.keys.values()] == [True]


# -- models


def test_a_model_that_its_provider_does_not_list(admin_client: Client, api: APIClient, made: Rows) -> None:
    body = {"provider": "main", "name": "private", "abilities": {"images": False}}
    reply = api.post("/api/v1/models", body)
    assert reply.status_code == 201, reply.content
    assert (reply.json()["seen_at"], reply.json()["details"]) == (None, {})
    table = Loader().refresh()
    assert table.abilities[made["provider"].pk, "private"].flags == (("images", False),)
    assert list(table.models[made["provider"].pk]) == ["m"]
    url = f"/api/v1/models/{reply.json()['id']}"
    for change in ({"name": "other"}, {"details": {"id": "x"}}):
        api.patch(url, change)
    row = UpstreamModel.objects.get(name="private")
    assert row.details == {} and api.get("/api/v1/models?name=private").json()["results"] == [api.get(url).json()]
    page = admin_client.get(f"/admin/providers/upstreammodel/{row.pk}/change/").content.decode()
    assert "no images" in page
    listed = admin_client.get("/admin/providers/upstreammodel/?abilities=said").content.decode()
    assert "private" in listed and ">m<" not in listed


def test_apply_gives_a_provider_several_credentials(made: Rows) -> None:
    file = "providers:\n- name: main\n  credentials: [{name: spare, secret: sk-spare, weight: 2}, {name: %s, secret: sk-2}]"
    assert do(file % "default") == ["created credential main/spare", "changed credential main/default: secret"]
    assert do(file % "default") == []
    assert {row.name: (row.secret, row.weight) for row in Credential.objects.all()} == {
        "default": ("sk-2", 1),
        "spare": ("sk-spare", 2),
    }
    assert do(file % "third", prune=True) == ["deleted credential main/default", "created credential main/third"]
    with pytest.raises(Refused, match=r"credential main/new: secret: This field is required\."):
        do("providers:\n- name: main\n  credentials: [{name: new}]")


def test_an_api_key_beside_a_list_of_credentials_is_the_default(made: Rows) -> None:
    file = "providers: [{name: main, api_key: sk-main, credentials: [{name: %s, secret: sk-2}]}]"
    lines = ["changed provider main: api_key", "created credential main/spare"]
    assert do(file % "spare", prune=True) == lines
    assert do(file % "spare", prune=True) == []
    with pytest.raises(Refused, match="credential main/default is the api_key already"):
        do(file % "default")


def test_pruning_takes_back_what_was_said_of_models(made: Rows) -> None:
    model = "{name: %s, abilities: {tools: false}}"
    do(f"providers: [{{name: main, models: [{model % 'm'}, {model % 'private'}]}}]")
    assert do("providers: [{name: main, models: []}]") == []
    lines = do("providers: [{name: main, models: []}]", prune=True)
    assert lines == ["changed model main/m: abilities", "deleted model main/private"]
    assert [(row.name, row.abilities) for row in UpstreamModel.objects.all()] == [("m", {})]
    assert do("providers: [{name: main, models: []}]", prune=True) == []
