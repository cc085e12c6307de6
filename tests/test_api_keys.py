"""REST and ``manage.py apply``: levels, projects, scopes, rotation with an overlap, many keys at once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as configured
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from rest_framework.test import APIClient

from routing.apply_read import Refused
from routing.load import Loader
from tenants import keys
from tenants.models import ApiKey, LeaseCounter, Project, Tenant
from tests.api_site import api, client_of, no_throttle_left_over
from tests.apply_site import do

pytestmark = pytest.mark.django_db
assert api and no_throttle_left_over  # fixtures

LEVEL: dict[str, Any] = {
    "allowed_models": ["gpt-*"],
    "denied_models": ["gpt-1"],
    "allowed_providers": ["main"],
    "networks": ["10.0.0.0/8"],
    "requests_per_minute": 60,
    "requests_per_day": 1000,
    "tokens_per_minute": 100_000,
    "concurrent_requests": 4,
    "max_input_tokens": 5000,
    "max_output_tokens": 1000,
    "default_tags": ["team-a"],
    "log_bodies": False,
}
OF_TENANT: dict[str, Any] = {
    "unpriced": "block",
    "interrupted": "bound",
    "tags": ["team-a"],
    "user_requests_per_minute": 5,
    "user_requests_per_day": None,
    "user_tokens_per_minute": 10,
    "user_concurrent_requests": 1,
}


@pytest.fixture
def tenant() -> Tenant:
    return Tenant.objects.create(name="acme")


def listed(name: str) -> str:
    return reverse(f"api:{name}-list")


def key_url(name: str, key: int) -> str:
    return reverse(f"api:key-{name}", args=[key])


def made(tenant: Tenant, name: str = "main", **values: Any) -> ApiKey:
    key = ApiKey(tenant=tenant, name=name, **values)
    key.issue()
    key.save()
    return key


def test_levels_come_and_go(api: APIClient, tenant: Tenant) -> None:
    changed = api.patch(reverse("api:tenant-detail", args=["acme"]), {**LEVEL, **OF_TENANT})
    assert changed.status_code == 200 and changed.json().items() >= {**LEVEL, **OF_TENANT}.items()
    project = api.post(listed("project"), {"tenant": "acme", "name": "web", **LEVEL})
    assert project.status_code == 201 and project.json().items() >= {"tenant": "acme", **LEVEL}.items()
    asked = {"tenant": "acme", "project": "web", "name": "k", "scopes": ["chat"], **LEVEL}
    key = api.post(listed("key"), asked)
    assert key.status_code == 201 and key.json().items() >= asked.items()
    assert LeaseCounter.objects.count() == 4 * 3 + 3
    assert api.get(listed("key"), {"project": "web"}).json()["count"] == 1
    detail = key_url("detail", key.json()["id"])
    for none in (None, ""):
        assert api.patch(detail, {"project": none}).json()["project"] is None
    assert api.patch(detail, {"requests_per_minute": None}).json()["requests_per_minute"] is None
    assert api.delete(reverse("api:project-detail", args=[project.json()["id"]])).status_code == 204
    assert ApiKey.objects.count() == 1


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("networks", ["10.0.0.0/33"], "no address or network"),
        ("networks", "10.0.0.0/8", "Give a list"),
        ("requests_per_minute", 0, "greater than or equal to 1"),
        ("requests_per_minute", -1, "greater than or equal to 1"),
        ("tokens_per_minute", 10**12, "less than or equal to"),
        ("max_output_tokens", "many", "valid integer"),
        ("max_output_tokens", 1e300, "valid integer"),
        ("default_tags", ["t" * 65], "1 to 64"),
        ("default_tags", [f"t{n}" for n in range(9)], "At most 8"),
        ("default_tags", [1], "list of tags"),
        ("denied_models", ["a*b"], "only at the end"),
        ("scopes", ["everything"], "no scope"),
        ("scopes", "chat", "Give a list"),
        ("project", "theirs", "no such project"),
        ("project", ["web"], "Not a valid string"),
    ],
)
def test_errors_name_the_field(api: APIClient, tenant: Tenant, field: str, value: Any, words: str) -> None:
    Project.objects.create(tenant=Tenant.objects.create(name="rival"), name="theirs")
    reply = api.post(listed("key"), {"tenant": "acme", "name": "k", field: value})
    assert reply.status_code == 400 and not ApiKey.objects.exists()
    assert reply.json().keys() == {field} and words in reply.json()[field][0]


def test_projects_stay_with_their_tenant_and_name(api: APIClient, tenant: Tenant) -> None:
    Tenant.objects.create(name="rival")
    project = Project.objects.create(tenant=tenant, name="web")
    url = reverse("api:project-detail", args=[project.pk])
    assert api.patch(url, {"name": "other"}).json() == {"name": ["The name cannot be changed: usage rows refer to it."]}
    assert api.patch(url, {"tenant": "rival"}).json() == {"tenant": ["A project stays with its tenant."]}
    assert "non_field_errors" in api.post(listed("project"), {"tenant": "acme", "name": "web"}).json()
    assert api.post(listed("project"), {"tenant": "acme", "name": "Web!"}).json().keys() == {"name"}


def test_rotation_with_an_overlap(api: APIClient, tenant: Tenant) -> None:
    key = made(tenant)
    before = key.digest
    for wrong in ({"overlap_seconds": -1}, {"overlap_seconds": 10**9}, {"overlap_seconds": "long"}, {"overlap": 1}):
        assert api.post(key_url("rotate", key.pk), wrong).json().keys() == wrong.keys()
    assert ApiKey.objects.get().digest == before
    told = api.post(key_url("rotate", key.pk), {"overlap_seconds": 3600}).json()
    until = parse_datetime(told["previous_until"])
    assert until is not None and timedelta(0) < until - timezone.now() <= timedelta(hours=1)
    assert told["previous_prefix"] == key.prefix
    found = Loader().refresh().keys
    assert set(found) == {bytes.fromhex(before), keys.digest(told["key"], configured.GATEWAY_KEY_PEPPERS[0])}
    assert found[bytes.fromhex(before)].expires_at == pytest.approx(until.timestamp())
    ended = api.post(key_url("end-previous", key.pk)).json()
    assert (ended["previous_until"], ended["previous_prefix"]) == (None, "") and "key" not in ended
    assert len(Loader().refresh().keys) == 1
    api.post(key_url("rotate", key.pk), {"overlap_seconds": 60})
    assert api.post(key_url("rotate", key.pk)).json()["previous_until"] is None


def test_many_keys_at_once(api: APIClient, tenant: Tenant) -> None:
    Project.objects.create(tenant=tenant, name="web")
    url = reverse("api:key-bulk")
    reply = api.post(url, {"keys": [{"tenant": "acme", "name": f"k{n}", "project": "web", **LEVEL} for n in range(3)]})
    assert reply.status_code == 201
    assert [key["name"] for key in reply.json()["keys"]] == ["k0", "k1", "k2"]
    digests = {keys.digest(key["key"], configured.GATEWAY_KEY_PEPPERS[0]).hex() for key in reply.json()["keys"]}
    assert digests == set(ApiKey.objects.values_list("digest", flat=True))
    wrong = {
        "keys": [
            {"tenant": "acme", "name": "new"},
            {"tenant": "acme", "name": "k1"},
            {"tenant": "acme", "name": "x", "requests_per_minute": 0},
            {"tenant": "acme", "name": "new"},
            {"tenant": "acme", "name": "y", "key": "gw-" + "x" * 43},
            {"name": "z"},
        ]
    }
    assert api.post(url, wrong).json().keys() == {
        "keys[1].name",
        "keys[2].requests_per_minute",
        "keys[3].name",
        "keys[4].key",
        "keys[5].tenant",
    }
    bodies: list[Any] = [{}, {"keys": {}}, {"keys": []}, {"keys": [1]}, {"keys": [], "more": 1}, []]
    for body in bodies:
        assert api.post(url, body, format="json").status_code == 400, body
    assert ApiKey.objects.count() == 3


def test_many_keys_need_the_permission_to_add_keys(tenant: Tenant) -> None:
    body = {"keys": [{"tenant": "acme", "name": "k"}]}
    for permissions, status in (("tenants.view_apikey",), 403), (("tenants.add_apikey",), 201):
        assert client_of(*permissions).post(reverse("api:key-bulk"), body, format="json").status_code == status
    assert client_of("tenants.view_apikey").post(key_url("end-previous", 1)).status_code == 403


APPLIED = """
tenants:
  - name: acme
    requests_per_minute: 60
    unpriced: block
    tags: [team-a]
    projects:
      - {name: "7", title: Seven, networks: [10.0.0.0/8]}
      - {name: web, denied_models: [gpt-1]}
    keys:
      - {name: k, project: 7, scopes: [chat], max_output_tokens: 5}
      - {name: free}
"""


def test_a_file_makes_projects_before_the_keys_in_them() -> None:
    assert do(APPLIED) == [
        "created tenant acme",
        "created project acme/7",
        "created project acme/web",
        "created key acme/k",
        "created key acme/free",
    ]
    key = ApiKey.objects.get(name="k")
    assert key.project is not None and (key.project.name, key.scopes, key.max_output_tokens) == ("7", ["chat"], 5)
    assert do(APPLIED) == []
    assert do(APPLIED.replace("project: 7", "project: web")) == ["changed key acme/k: project"]
    assert do(APPLIED.replace("project: 7", "project: ")) == ["changed key acme/k: project"]


def test_a_file_prunes_projects_that_no_key_is_in() -> None:
    do(APPLIED)
    fewer = APPLIED.replace('      - {name: "7", title: Seven, networks: [10.0.0.0/8]}\n', "")
    assert do(fewer.replace("project: 7", "project: web")) == ["changed key acme/k: project"]
    do(APPLIED)
    with pytest.raises(Refused) as refused:
        do(fewer.replace(", project: 7", ""), prune=True)
    assert [text for _, text in refused.value.problems] == ["project acme/7 cannot be pruned: there are keys in it."]
    assert ApiKey.objects.count() == 2
    assert do(fewer.replace("project: 7", "project: web"), prune=True) == [
        "changed key acme/k: project",
        "deleted project acme/7",
    ]


def test_a_file_without_projects_is_as_it_was() -> None:
    old = "tenants: [{name: t, keys: [{name: k, allowed_models: [a]}]}]"
    assert do(old) == ["created tenant t", "created key t/k"]
    assert do(old, prune=True) == []
    with pytest.raises(Refused) as refused:
        do("tenants: [{name: t, projects: [{name: p, networks: [x]}], keys: [{name: k, project: q}]}]")
    first, second = sorted(text for _, text in refused.value.problems)
    assert "no such project" in first and "networks: x: no address" in second
