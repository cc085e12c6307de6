"""The admin of tenants, projects and keys: levels, seen as a key, rotation with an overlap, last used, many at once."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from providers.models import Provider
from routing.models import Alias, Route, Target
from tenants import bulk, keys
from tenants.key_terms import lines, meet_names, meet_networks
from tenants.models import ApiKey, Budget, LeaseCounter, Project, Tenant, UsageDay
from tenants.see_as_key import answers
from tests.admin_site import EVIL, add_usage, form_data
from tests.test_admin_keys import PLAIN_KEY, assert_kept_nowhere

pytest_plugins = ("tests.admin_rows",)
pytestmark = pytest.mark.django_db


def made(name: str = "main", **values: Any) -> ApiKey:
    tenant = Tenant.objects.get_or_create(name="acme")[0]
    key = ApiKey(**{"tenant": tenant, "name": name, **values})
    key.issue()
    key.save()
    return key


def page(name: str, *args: Any) -> str:
    return reverse(f"admin:tenants_{name}", args=args)


def said(key: ApiKey) -> dict[str, tuple[str, str]]:
    return {line.title: (line.holds, line.by) for line in lines(key)}


# levels


def test_all_levels_are_set_on_their_pages(admin_client: Client) -> None:
    tenant = Tenant.objects.create(name="acme")
    level: dict[str, Any] = {
        "denied_models": "old-*",
        "networks": "10.0.0.0/8, 2001:db8::/32",
        "requests_per_minute": "60",
        "max_input_tokens": "1000",
        "default_tags": "a b",
    }
    url = page("tenant_change", tenant.pk)
    typed = {**level, "tags": "a", "unpriced": "block", "user_requests_per_day": "5"}
    assert admin_client.post(url, form_data(admin_client.get(url)) | typed).status_code == 302
    url = page("project_add")
    typed = {**level, "tenant": tenant.pk, "name": "web", "log_bodies": ""}
    assert admin_client.post(url, form_data(admin_client.get(url)) | typed).status_code == 302
    project = Project.objects.get()
    url = page("apikey_add")
    typed = {**level, "tenant": tenant.pk, "project": project.pk, "name": "k", "scopes": ["chat", "models"]}
    assert admin_client.post(url, form_data(admin_client.get(url)) | typed).status_code == 200
    tenant.refresh_from_db()
    for row in (tenant, project, ApiKey.objects.get()):
        assert row.denied_models == ["old-*"] and row.networks == ["10.0.0.0/8", "2001:db8::/32"]
        assert (row.requests_per_minute, row.max_input_tokens, row.default_tags) == (60, 1000, ["a", "b"])
    assert (tenant.tags, tenant.unpriced, tenant.user_requests_per_day) == (["a"], "block", 5)
    assert ApiKey.objects.get().scopes == ["chat", "models"]
    names = set(LeaseCounter.objects.values_list("name", flat=True))
    assert names == {
        f"rpm.{letter}{row.pk}" for letter, row in (("t", tenant), ("p", project), ("k", ApiKey.objects.get()))
    } | {f"rpd.u{tenant.pk}"}


@pytest.mark.parametrize(
    ("field", "typed", "words"),
    [
        ("networks", "10.0.0.0/33", "no address or network"),
        ("networks", "10.0.0.1/8", "no address or network"),
        ("requests_per_minute", "0", "greater than or equal to 1"),
        ("requests_per_minute", "-5", "greater than or equal to"),
        ("max_output_tokens", "99999999999999999999", "less than or equal to 1000000000"),
        ("default_tags", "t" * 65, "1 to 64"),
        ("default_tags", " ".join(f"t{n}" for n in range(9)), "At most 8 tags"),
        ("default_tags", "<b>", "1 to 64"),
        ("denied_models", "a*b", "only at the end"),
        ("scopes", "everything", "not one of the available choices"),
    ],
)
def test_bad_settings_are_refused_beside_their_field(admin_client: Client, field: str, typed: str, words: str) -> None:
    key = made()
    url = page("apikey_change", key.pk)
    reply = admin_client.post(url, form_data(admin_client.get(url)) | {field: typed})
    assert reply.status_code == 200 and words in reply.content.decode()
    assert reply.context["adminform"].form.errors.keys() == {field}


def test_a_key_is_in_a_project_of_its_own_tenant_only(admin_client: Client) -> None:
    key, rival = made(), Tenant.objects.create(name="rival")
    own, other = (Project.objects.create(tenant=of, name="web", title=of.name) for of in (key.tenant, rival))
    url = page("apikey_change", key.pk)
    shown = admin_client.get(url)
    assert f'data-of-tenant="{key.tenant_id}"' in shown.content.decode() and "gateway/key.js" in shown.content.decode()
    reply = admin_client.post(url, form_data(shown) | {"project": other.pk})
    assert "another tenant" in reply.content.decode()
    assert admin_client.post(url, form_data(shown) | {"project": own.pk}).status_code == 302
    asked = {"app_label": "tenants", "model_name": "apikey", "field_name": "project"}
    for tenant, names in ((key.tenant_id, ["acme"]), ("", []), ("9" * 40, []), ("x", [])):
        found = admin_client.get(reverse("admin:autocomplete"), {**asked, "of_tenant": tenant}).json()
        assert [one["text"] for one in found["results"]] == names
    assert len(admin_client.get(reverse("admin:autocomplete"), asked).json()["results"]) == 2


def test_projects_are_listed_and_keep_their_name(admin_client: Client) -> None:
    project = Project.objects.create(tenant=Tenant.objects.create(name="acme"), name="web", title=EVIL)
    made(project=project)
    assert EVIL not in admin_client.get(page("project_changelist"), {"q": "we"}).content.decode()
    url = page("project_change", project.pk)
    data = form_data(admin_client.get(url))
    assert admin_client.post(url, data | {"name": "other"}).status_code == 302
    assert Project.objects.get().name == "web"
    listed = admin_client.get(page("tenant_changelist")).context["cl"].result_list[0]
    assert (listed.projects_known, listed.keys_known) == (1, 1)
    chosen = {"action": "disable", "_selected_action": [project.pk]}
    admin_client.post(page("project_changelist"), chosen)
    assert not Project.objects.get().enabled


# see as key


def test_names_and_networks_meet() -> None:
    assert meet_names("gpt-*", "gpt-4*") == meet_names("gpt-4*", "gpt-*") == "gpt-4*"
    assert meet_names("*", "a") == meet_names("a", "*") == meet_names("a", "a") == "a"
    assert meet_names("gpt-*", "claude-*") == meet_names("a", "b") == ""
    assert meet_networks("10.0.0.0/8", "10.1.0.0/16") == meet_networks("10.1.0.0/16", "10.0.0.0/8") == "10.1.0.0/16"
    assert meet_networks("10.0.0.0/8", "2001:db8::/32") == meet_networks("10.0.0.0/8", "11.0.0.0/8") == ""


def test_the_tightest_holds_and_its_level_is_named() -> None:
    tenant = Tenant.objects.create(
        name="acme", allowed_models=["gpt-*"], requests_per_minute=100, networks=["10.0.0.0/8"], denied_models=["gpt-1"]
    )
    project = Project.objects.create(
        tenant=tenant, name="web", requests_per_minute=20, allowed_models=["gpt-4*", "claude"], log_bodies=False
    )
    key = made(
        tenant=tenant,
        project=project,
        requests_per_minute=20,
        networks=["10.1.0.0/16", "::1"],
        scopes=["chat"],
        allowed_providers=["up"],
        default_tags=["x"],
        max_output_tokens=9,
    )
    found = said(key)
    assert found["Models"] == ("gpt-4*", "tenant, project")
    assert found["Models denied"] == ("gpt-1", "tenant")
    assert found["Networks"] == ("10.1.0.0/16", "tenant, key")
    assert found["Requests per minute"] == ("20", "project, key")
    assert found["Requests per day"] == ("no limit", "")
    assert found["Bodies may be logged"] == ("no", "project")
    assert found["Scopes"] == ("chat", "key") and found["Providers"] == ("up", "key") and found["Tags"] == ("x", "key")
    assert found["Output tokens of one request"] == ("9", "key") and found["On"] == ("yes", "")
    assert found["Models without a price"] == ("warn", "tenant")
    key.allowed_models = ["claude"]
    assert said(key)["Models"][0].startswith("nothing")


def test_the_page_of_a_key_as_it_is_seen(admin_client: Client, everything: dict[type[Any], Any]) -> None:
    key = everything[ApiKey]
    Budget.objects.create(tenant=key.tenant, name=EVIL, amount=5 * 10**9)
    Budget.objects.create(tenant=key.tenant, name="of the key", of="key", key=key, amount=10**9, hard=False)
    reply = admin_client.get(
        page("apikey_see_as_key", key.pk), {"model": "quick", "address": "10.0.0.1", "scope": "chat"}
    )
    text = reply.content.decode()
    assert EVIL not in text and "$5.00 (hard, month)" in text and "$1.00 (soft, month)" in text
    assert "reached as fast" in text and "No." in text
    wrong = admin_client.get(page("apikey_see_as_key", key.pk), {"address": "somewhere"})
    assert "IPv4 or IPv6" in wrong.content.decode() and wrong.status_code == 200


def test_whether_it_may(provider: Provider) -> None:
    route = Route.objects.create(name="fast")
    Target.objects.create(route=route, provider=provider)
    Alias.objects.create(name="quick", model="fast")
    tenant = Tenant.objects.create(name="acme", networks=["10.0.0.0/8"])
    project = Project.objects.create(tenant=tenant, name="web", denied_models=["fast"])
    key = made(tenant=tenant, scopes=["chat"])

    def may(model: str = "", address: str = "", scope: str = "") -> tuple[bool, str]:
        found = list(answers(key, model, address, scope))
        return all(good for good, _ in found), " ".join(words for _, words in found)

    assert may("quick", "10.0.0.1", "chat")[0] and "goes to main" in may("quick")[1]
    assert may(address="192.0.2.1") == (False, "The address 192.0.2.1 is in no network of the tenant acme.")
    assert not may(scope="embeddings")[0]
    assert may("unheard-of") == (False, "No route leads from the model unheard-of.")
    key.project = project
    assert may("quick")[1].startswith("The model quick, which is reached as fast, is not allowed by the project web.")
    key.project, key.allowed_providers = None, ["other"]
    assert "which it may not use" in may("fast")[1]
    key.enabled, key.expires_at = False, timezone.now()
    assert may()[1] == "The key main is off. It has expired."


# rotation and last used


def test_rotation_with_an_overlap(admin_client: Client, settings: Any) -> None:
    key = made()
    before = key.digest
    url = page("apikey_rotate", key.pk)
    data = form_data(admin_client.get(url))
    assert data["overlap"] == "0"
    assert "Choose how long" in admin_client.post(url, data | {"overlap": "99999999"}).content.decode()
    assert ApiKey.objects.get().digest == before
    plain = PLAIN_KEY.findall(admin_client.post(url, data | {"overlap": "3600"}).content.decode())[0]
    key = ApiKey.objects.get()
    assert key.previous_digest == before and key.overlapping and key.previous_until
    assert timedelta(minutes=59) < key.previous_until - timezone.now() <= timedelta(hours=1)
    assert key.digest == keys.digest(plain, settings.GATEWAY_KEY_PEPPERS[0]).hex()
    shown = admin_client.get(page("apikey_change", key.pk))
    assert f"The previous key, {key.previous_prefix}…, is valid until" in shown.content.decode()
    assert "still valid until" in admin_client.get(url).content.decode()
    end = page("apikey_end_previous", key.pk)
    assert admin_client.get(end).status_code == 405
    ended = admin_client.post(end, follow=True)
    key = ApiKey.objects.get()
    assert (key.previous_digest, key.previous_until) == ("", None) and "is valid until" not in ended.content.decode()
    assert_kept_nowhere(plain, shown, ended)
    assert LogEntry.objects.filter(change_message__startswith="Ended").count() == 1


def test_only_who_may_change_keys_ends_an_overlap(client: Client) -> None:
    key = made()
    user = User.objects.create_user("viewer", password="x", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_apikey"))
    client.force_login(user)
    assert client.post(page("apikey_end_previous", key.pk)).status_code == 403
    assert client.get(page("apikey_see_as_key", key.pk)).status_code == 200
    assert client.get(page("apikey_bulk_issue")).status_code == 403


def test_last_used_takes_as_many_queries_for_many_keys_as_for_few(admin_client: Client) -> None:
    at = timezone.now().replace(microsecond=0)
    first, old, never = made("a"), made("b"), made("c")
    for hours in (5, 1, 3):
        add_usage(at - timedelta(hours=hours), key_id=first.pk)
    day = (at - timedelta(days=40)).replace(hour=0, minute=0, second=0)
    UsageDay.objects.create(start=day, tenant_id=1, tenant="acme", key_id=old.pk, key="b", provider_id=0, route="")
    with CaptureQueriesContext(connection_of()) as few:
        shown = admin_client.get(page("apikey_changelist"))
    used = {row.name: row.used for row in shown.context["cl"].result_list}
    hour = at - timedelta(hours=1)
    assert used == {"a": f"{hour:%Y-%m-%d %H:%M} UTC", "b": f"{day:%Y-%m-%d}", "c": "never"}
    assert f"{hour:%Y-%m-%d %H:%M} UTC" in admin_client.get(page("apikey_change", first.pk)).content.decode()
    assert "never" in admin_client.get(page("apikey_change", never.pk)).content.decode()
    for n in range(20):
        made(f"more {n}")
    with CaptureQueriesContext(connection_of()) as many:
        admin_client.get(page("apikey_changelist"))
    assert len(many) == len(few)


def connection_of() -> Any:
    from django.db import connection

    return connection


# many at once

HEADER = "tenant,project,name,expires_at,allowed_models,requests_per_minute\n"


def upload(client: Client, content: str | bytes) -> Any:
    data = content.encode() if isinstance(content, str) else content
    return client.post(page("apikey_bulk_issue"), {"file": SimpleUploadedFile("keys.csv", data)})


def test_keys_of_a_file_are_told_once(admin_client: Client, settings: Any) -> None:
    tenant = Tenant.objects.create(name="acme")
    project = Project.objects.create(tenant=tenant, name="web")
    shown = admin_client.get(page("apikey_bulk_issue"))
    assert "requests_per_minute" in shown.content.decode()
    reply = upload(
        admin_client,
        b"\xef\xbb\xbf"
        + (HEADER + 'acme,web,"a ""b"", c",2030-01-31,"gpt-*, claude",60\r\nacme,,=1+1,,,\n\n').encode(),
    )
    assert reply.status_code == 200 and reply["content-type"].startswith("text/csv")
    assert "attachment" in reply["content-disposition"] and "no-store" in reply["cache-control"]
    told = list(csv.DictReader(io.StringIO(reply.content.decode())))
    assert [row["name"] for row in told] == ['a "b", c', "'=1+1"]
    first, second = ApiKey.objects.order_by("pk")
    assert (first.project, first.allowed_models, first.requests_per_minute) == (project, ["gpt-*", "claude"], 60)
    assert (second.name, second.project, second.allowed_models) == ("=1+1", None, [])
    assert first.expires_at is not None and told[0]["expires_at"].startswith("2030-01-31T00:00")
    for row, key in zip(told, (first, second), strict=True):
        assert keys.digest(row["key"], settings.GATEWAY_KEY_PEPPERS[0]).hex() == key.digest
        assert_kept_nowhere(row["key"], admin_client.get(page("apikey_changelist")))
    assert LogEntry.objects.filter(change_message="Issued from a file.").count() == 2
    again = upload(admin_client, HEADER + "acme,,=1+1,,,\n")
    assert again.status_code == 400 and "has a key of this name already" in again.content.decode()


@pytest.mark.parametrize(
    ("content", "problems"),
    [
        ("", [(1, "name", "missing"), (1, "tenant", "missing")]),
        (HEADER, [(0, "", "no key in it")]),
        ("tenant,name,colour,name\nacme,a,,\n", [(1, "colour", "no such column"), (1, "name", "twice")]),
        (HEADER + "acme,,a,,,\nacme,,a,,,\n", [(3, "name", "twice, at 2")]),
        (HEADER + "nobody,,a,,,\n", [(2, "tenant", "does not exist")]),
        (HEADER + "acme,theirs,a,,,\n", [(2, "project", "no such project")]),
        (HEADER + "acme,,a,tomorrow,,\n", [(2, "expires_at", "wrong format")]),
        (HEADER + "acme,,a,,a*b,\n", [(2, "allowed_models", "only at the end")]),
        (
            HEADER + "acme,,a,,,-1\nacme,,b,,,9999999999\nacme,,c,,,many\n",
            [
                (2, "requests_per_minute", "greater than or equal to 1"),
                (3, "requests_per_minute", "less than or equal to"),
                (4, "requests_per_minute", "valid integer"),
            ],
        ),
        (HEADER + 'acme,,"a\nb",,,\nacme,,c,,\n', [(4, "", "has 5 cells")]),
        (HEADER + 'acme,,"a\nb",,,\n', [(2, "name", "one line")]),
        (HEADER + 'acme,,"a"b,,,\n', [(2, "", "not CSV")]),
        (HEADER + "acme,," + "n" * 101 + ",,,\n", [(2, "name", "no more than 100")]),
        (HEADER + 'acme,,"' + "n" * 200_000 + '",,,\n', [(2, "", "not CSV")]),
        ("tenant,name,key\nacme,a,gw-" + "x" * 43, [(1, "key", "no such column")]),
        (
            "tenant,name,networks,scopes,default_tags\nacme,a,10/33,all,<b>\n",
            [
                (2, "default_tags", "1 to 64"),
                (2, "networks", "no address"),
                (2, "scopes", "no scope"),
            ],
        ),
        (HEADER.encode("utf-16"), [(0, "", "not UTF-8")]),
        (b"x" * (bulk.MOST_BYTES + 1), [(0, "", "larger than")]),
    ],
)
def test_a_file_with_problems_issues_nothing(
    admin_client: Client, content: str | bytes, problems: list[tuple[int, str, str]]
) -> None:
    Tenant.objects.create(name="acme")
    Project.objects.create(tenant=Tenant.objects.create(name="rival"), name="theirs")
    good = (
        b"acme,,good,,,\n"
        if isinstance(content, str) and content.startswith(HEADER) and len(content) > len(HEADER)
        else b""
    )
    data = (content.encode() if isinstance(content, str) else content) + good
    reply = upload(admin_client, data)
    assert reply.status_code == 400 and not ApiKey.objects.exists()
    found = reply.context["problems"]
    assert [(line, field) for line, field, _ in found] == [(line, field) for line, field, _ in problems]
    for (_, _, text), (_, _, words) in zip(found, problems, strict=True):
        assert words in text, text


def test_a_file_separated_by_semicolons_and_one_with_too_many_keys(admin_client: Client) -> None:
    Tenant.objects.create(name="acme")
    assert upload(admin_client, "tenant;name;allowed_models\nacme;a;gpt-* x\n").status_code == 200
    assert ApiKey.objects.get().allowed_models == ["gpt-*", "x"]
    many = "tenant,name\n" + "".join(f"acme,k{n}\n" for n in range(bulk.MOST_KEYS + 1))
    assert "at most 2000" in upload(admin_client, many).content.decode()
    assert upload(admin_client, "tenant,name\n" + "".join(f"acme,k{n}\n" for n in range(300))).status_code == 200
    assert ApiKey.objects.count() == 301
    missing = admin_client.post(page("apikey_bulk_issue"))
    assert missing.status_code == 400 and "Choose a file" in missing.content.decode()
