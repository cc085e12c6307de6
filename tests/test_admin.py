"""The admin: every page for every model, wrong input, secrets that go in and never come out, keys that are shown once."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.contrib.sessions.models import Session
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse

from providers.models import Credential, Provider, UpstreamModel
from routing.models import Alias, Defaults, Revision, Rewrite, Route, Target
from tenants.models import ApiKey, OperatorToken, Tenant, Usage
from tests.admin_site import EVIL, add_usage, admin_user, form_data

pytestmark = pytest.mark.django_db
assert admin_user  # the fixture

SECRET = "sk-live-0123456789abcdefghijklmnop"
PLAIN_KEY = re.compile(r"gw-[A-Za-z0-9_-]{43}")


@pytest.fixture
def provider() -> Provider:
    provider = Provider.objects.create(name="main", title=EVIL, kind="openai")
    provider.set_api_key(SECRET)
    return provider


@pytest.fixture
def everything(provider: Provider, admin_user: User) -> dict[type[Any], Any]:
    """One row of each model that the admin has, with markup wherever people may write."""
    tenant = Tenant.objects.create(name="acme", title=EVIL)
    key = ApiKey(tenant=tenant, name=EVIL, allowed_models=[EVIL])
    key.issue()
    key.save()
    token = OperatorToken(user=admin_user, name=EVIL)
    token.issue()
    token.save()
    route = Route.objects.create(name="fast", title=EVIL)
    rows = [
        provider,
        UpstreamModel.objects.create(provider=provider, name=EVIL, details={EVIL: EVIL}, seen_at=tenant.created_at),
        tenant,
        key,
        token,
        route,
        Target.objects.create(route=route, provider=provider, model=EVIL),
        Alias.objects.create(name="quick", model="fast", tenant=tenant),
        Rewrite.objects.create(route=route, place="body", action="set", name=EVIL, value=EVIL),
        Defaults.objects.create(provider=provider),
        add_usage(request_id="r-1", tenant=EVIL, key=EVIL, model=EVIL, route=EVIL, provider=EVIL, upstream_model=EVIL, end_user=EVIL, tags=[EVIL], error_kind="network"),
        admin_user,
    ]
    return {type(row): row for row in rows} | {Revision: Revision.objects.order_by("number").first()}


def urls_of(model: type[Any], row: Any) -> dict[str, str]:
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    return {"list": reverse(f"{name}_changelist"), "add": reverse(f"{name}_add"), "page": reverse(f"{name}_change", args=[row.pk]), "history": reverse(f"{name}_history", args=[row.pk])}


def test_every_page_opens_and_escapes(admin_client: Client, everything: dict[type[Any], Any]) -> None:
    seen = 0
    for model, row in everything.items():
        if model not in admin.site._registry:
            continue
        for kind, url in urls_of(model, row).items():
            reply = admin_client.get(url, follow=True)
            closed = kind == "add" and not admin.site.get_model_admin(model).has_add_permission(reply.wsgi_request)
            assert reply.status_code == (403 if closed else 200), url
            text = reply.content.decode()
            assert EVIL not in text and "<script>alert" not in text, url
            seen += "&lt;script&gt;alert" in text
    assert seen > 15


def test_index_shows_the_day_and_escapes(admin_client: Client, everything: dict[type[Any], Any]) -> None:
    reply = admin_client.get(reverse("admin:index"))
    assert reply.status_code == 200
    assert "<script>alert" not in reply.content.decode()
    assert "The last 24 hours" in reply.content.decode()


def test_pages_are_closed_to_strangers_and_to_staff_without_permissions(client: Client, everything: dict[type[Any], Any]) -> None:
    urls = [url for model, row in everything.items() if model in admin.site._registry for url in urls_of(model, row).values()]
    extra = [reverse("admin:usage_report"), reverse("admin:tenants_apikey_rotate", args=[everything[ApiKey].pk])]
    for url in [*urls, *extra]:
        assert client.get(url)["location"].startswith(reverse("admin:login")), url
    client.force_login(User.objects.create_user("clerk", is_staff=True))
    for url in [*urls, *extra]:
        reply = client.get(url)
        assert reply.status_code == 403 or reply["location"] == reverse("admin:index"), url
    index = client.get(reverse("admin:index")).content.decode()
    assert "The last 24 hours" not in index and "gw-warn" not in index


def test_every_field_has_a_help_text(admin_client: Client, everything: dict[type[Any], Any]) -> None:
    request = admin_client.get(reverse("admin:index")).wsgi_request
    bare = []
    for model, model_admin in admin.site._registry.items():
        if model._meta.app_label in ("auth", "contenttypes"):
            continue
        inlines = model_admin.get_inline_instances(request)
        own = [model_admin.get_form(request)] if model_admin.has_change_permission(request) else []
        forms = [*own, *(inline.get_formset(request).form for inline in inlines)]
        bare += [f"{form.__name__}.{name}" for form in forms for name, field in form.base_fields.items() if not field.help_text and name not in ("id", "DELETE")]
        shown = {field.name for field in model._meta.fields} & {str(name) for name in model_admin.get_readonly_fields(request, everything.get(model))}
        bare += [f"{model.__name__}.{name}" for name in shown if not model._meta.get_field(name).help_text]
    bare += [f"Usage.{field.name}" for field in Usage._meta.fields if not field.help_text and not field.name.endswith("_id")]
    assert bare == []


# -- providers


def provider_page(provider: Provider) -> str:
    return reverse("admin:providers_provider_change", args=[provider.pk])


def test_a_secret_goes_in_and_never_comes_out(admin_client: Client, provider: Provider) -> None:
    credential = provider.credentials.get()
    page = admin_client.get(provider_page(provider))
    assert SECRET not in page.content.decode() and credential.sealed not in page.content.decode()
    assert credential.hint in page.content.decode()
    data = form_data(page) | {"title": "renamed", "credentials-0-weight": "3"}
    assert data["credentials-0-secret"] == ""
    assert admin_client.post(provider_page(provider), data).status_code == 302
    credential = provider.credentials.get()
    assert (credential.secret, credential.weight) == (SECRET, 3)
    admin_client.post(provider_page(provider), data | {"credentials-0-secret": "sk-new-0123456789abcdefgh"})
    assert provider.credentials.get().secret == "sk-new-0123456789abcdefgh"
    history = admin_client.get(reverse("admin:providers_provider_history", args=[provider.pk])).content.decode()
    logged = "".join(f"{entry.change_message}{entry.object_repr}" for entry in LogEntry.objects.all())
    assert "sk-" not in history + logged + str(list(Revision.objects.values()))


def test_a_new_address_takes_no_old_secret_along(admin_client: Client, provider: Provider) -> None:
    data = form_data(admin_client.get(provider_page(provider))) | {"base_url": "https://elsewhere.example/v1", "credentials-0-weight": "7"}
    reply = admin_client.post(provider_page(provider), data, follow=True)
    assert "credentials of the old one were deleted" in reply.content.decode()
    assert not Credential.objects.exists()


def test_a_new_address_with_a_new_secret(admin_client: Client, provider: Provider) -> None:
    data = form_data(admin_client.get(provider_page(provider))) | {"base_url": "https://elsewhere.example/v1", "credentials-0-secret": "new-secret"}
    assert admin_client.post(provider_page(provider), data).status_code == 302
    assert provider.credentials.get().secret == "new-secret"


def test_a_credential_without_a_secret_is_an_error(admin_client: Client) -> None:
    page = reverse("admin:providers_provider_add")
    data = form_data(admin_client.get(page)) | {"name": "new", "kind": "openai", "credentials-0-name": "second"}
    reply = admin_client.post(page, data)
    assert "Give the key that the provider issued." in reply.content.decode()
    assert not Provider.objects.exists()


WRONG = [
    ("base_url", "ftp://example.com", "https://"),
    ("base_url", "https://user:pw@example.com/v1", "No user name or password"),
    ("base_url", "https://example.com/v1?key=1", "No query"),
    ("base_url", "https://example.com/#x", "No query"),
    ("base_url", "https:///v1", "names no host"),
    ("base_url", "https://example.com:99999/", "not a URL"),
    ("base_url", "https://exa mple.com/", "no spaces"),
    ("base_url", "http://169.254.169.254/latest", "metadata address"),
    ("base_url", "http://2852039166/latest", "metadata address"),
    ("base_url", "http://[::ffff:169.254.169.254]/", "metadata address"),
    ("base_url", "http://[fd00:ec2::254]/", "metadata address"),
    ("strip_path", "v1", "starts with /"),
    ("proxy_url", "socks5://proxy:1080", "https://"),
    ("proxy_url", "http://user:pw@proxy:1080", "No user name or password"),
    ("proxy_url", "http://proxy:1080/path", "Only scheme, host and port"),
    ("ca_file", "/no/such/file.pem", "no such file"),
    ("ca_file", __file__, "no certificate authority"),
    ("apis", ["chat", "telepathy"], "telepathy"),
    ("extra_headers", "x-api-key: 1", "cannot be set here"),
    ("extra_headers", "AUTHORIZATION: Bearer 1", "cannot be set here"),
    ("extra_headers", "no colon", "name: value"),
    ("extra_headers", "x-team: a\nX-Team: b", "twice"),
    ("extra_headers", "bad name: 1", "not a legal header name"),
    ("connect_timeout", "0", "more than 0"),
    ("idle_timeout", "nan", "Enter a number"),
    ("max_retries", "11", "less than or equal to 10"),
    ("kind", "skynet", "not one of the available choices"),
    ("name", "Not A Slug", "Use 1 to 63"),
]


@pytest.mark.parametrize(("field", "value", "error"), WRONG)
def test_wrong_input_is_a_form_error(admin_client: Client, field: str, value: Any, error: str) -> None:
    page = reverse("admin:providers_provider_add")
    data = form_data(admin_client.get(page)) | {"name": "new", "kind": "openai", field: value}
    reply = admin_client.post(page, data)
    assert reply.status_code == 200
    assert error in str(reply.context["adminform"].form.errors[field])
    assert not Provider.objects.exists()


def test_right_input_is_stored(admin_client: Client, settings: Any) -> None:
    settings.GATEWAY_ALLOWED_UPSTREAM_ADDRESSES = ["169.254.0.0/16"]
    page = reverse("admin:providers_provider_add")
    typed = {"name": "new", "kind": "vllm", "base_url": "http://169.254.1.1:8000/v1", "apis": ["chat", "rerank"], "extra_headers": "x-team: red\r\n\r\nx-note: a: b"}
    assert admin_client.post(page, form_data(admin_client.get(page)) | typed).status_code == 302
    made = Provider.objects.get()
    assert (made.apis, made.extra_headers) == (["chat", "rerank"], {"x-team": "red", "x-note": "a: b"})
    again = form_data(admin_client.get(provider_page(made)))
    assert (again["apis"], again["extra_headers"]) == (["chat", "rerank"], "x-team: red\nx-note: a: b")


def test_a_kind_without_an_address_needs_one() -> None:
    with pytest.raises(ValidationError) as caught:
        Provider(name="new", kind="openai-compatible").full_clean()
    assert set(caught.value.message_dict) == {"base_url"}


@pytest.mark.parametrize("model", [Provider, Route, Tenant])
def test_names_never_change(admin_client: Client, everything: dict[type[Any], Any], model: type[Any]) -> None:
    row = everything[model]
    url = urls_of(model, row)["page"]
    data = form_data(admin_client.get(url))
    assert "name" not in data
    admin_client.post(url, data | {"name": "other"})
    assert model.objects.get(pk=row.pk).name == row.name
    row.name = "other"
    with pytest.raises(ValidationError, match="cannot be changed"):
        row.full_clean()


# -- keys


def assert_kept_nowhere(plain: str, *replies: Any) -> None:
    for reply in replies:
        assert plain not in reply.content.decode()
    kept = [str(session.get_decoded()) for session in Session.objects.all()]
    kept += [f"{entry.object_repr}{entry.change_message}" for entry in LogEntry.objects.all()]
    kept += [str(list(model.objects.values())) for model in (ApiKey, OperatorToken, Revision)]
    assert plain not in "".join(kept)


def test_a_new_key_is_shown_once(admin_client: Client, settings: Any) -> None:
    settings.GATEWAY_PUBLIC_URL = "https://llm.example.com"
    tenant = Tenant.objects.create(name="acme")
    page = reverse("admin:tenants_apikey_add")
    typed = {"tenant": tenant.pk, "name": "it's", "allowed_models": "fast, gpt-*\nfast\n"}
    reply = admin_client.post(page, form_data(admin_client.get(page)) | typed)
    text = reply.content.decode()
    plain = PLAIN_KEY.findall(text)[0]
    key = ApiKey.objects.get()
    assert key.allowed_models == ["fast", "gpt-*"]
    assert text.count(plain) == 2 and "https://llm.example.com/v1/" in text
    assert "no-store" in reply["cache-control"]
    twin = ApiKey()
    twin.set_key(plain)
    assert twin.digest == key.digest
    after = admin_client.get(reverse("admin:tenants_apikey_change", args=[key.pk]), follow=True)
    again = admin_client.post(page, form_data(admin_client.get(page)) | typed)
    assert "already exists" in again.content.decode() and ApiKey.objects.count() == 1
    assert_kept_nowhere(plain, after, again, admin_client.get(reverse("admin:index")))


def test_the_curl_names_a_model_that_the_key_may_call(admin_client: Client, provider: Provider) -> None:
    UpstreamModel.objects.create(provider=provider, name="gpt-image-9", seen_at="2026-01-01T00:00Z")
    UpstreamModel.objects.create(provider=provider, name="gpt-9", seen_at="2026-01-01T00:00Z")
    route = Route.objects.create(name="gpt-*")
    tenant = Tenant.objects.create(name="acme")
    page = reverse("admin:tenants_apikey_add")
    data = form_data(admin_client.get(page)) | {"tenant": tenant.pk}
    assert "/v1/models" in admin_client.post(page, data | {"name": "before"}).content.decode()
    Target.objects.create(route=route, provider=provider)
    text = admin_client.post(page, data | {"name": "after"}).content.decode()
    assert "http://testserver/v1/chat/completions" in text and "&quot;gpt-9&quot;" in text


def test_keys_on_the_tenants_page(admin_client: Client) -> None:
    page = reverse("admin:tenants_tenant_add")
    data = form_data(admin_client.get(page)) | {"name": "acme", "keys-TOTAL_FORMS": "2", "keys-0-name": "one", "keys-0-enabled": "on", "keys-1-name": "two", "keys-1-allowed_models": "a*b"}
    assert "only at the end" in admin_client.post(page, data).content.decode()
    reply = admin_client.post(page, data | {"keys-1-allowed_models": "a*"})
    shown = set(PLAIN_KEY.findall(reply.content.decode()))
    assert len(shown) == 2
    tenant = Tenant.objects.get()
    later = admin_client.get(reverse("admin:tenants_tenant_change", args=[tenant.pk]))
    for plain in shown:
        assert_kept_nowhere(plain, later)
    assert [key.enabled for key in tenant.keys.order_by("name")] == [True, False]
    unchanged = admin_client.post(reverse("admin:tenants_tenant_change", args=[tenant.pk]), form_data(later))
    assert unchanged.status_code == 302


@pytest.mark.parametrize("model", [ApiKey, OperatorToken])
def test_rotation(admin_client: Client, everything: dict[type[Any], Any], model: type[Any]) -> None:
    row = everything[model]
    url = reverse(f"admin:tenants_{model._meta.model_name}_rotate", args=[row.pk])
    page = admin_client.get(url)
    assert model.objects.get().digest == row.digest
    data = form_data(page)
    shown = admin_client.post(url, data).content.decode()
    plain = re.findall(r"gw(?:op)?-[A-Za-z0-9_-]{43}", shown)[0]
    changed = model.objects.get()
    assert changed.digest != row.digest and plain.startswith(changed.prefix)
    reloaded = admin_client.post(url, data)
    assert "rotated already" in reloaded.content.decode()
    assert model.objects.get().digest == changed.digest
    assert_kept_nowhere(plain, reloaded)
    assert LogEntry.objects.filter(change_message="Rotated.").exists()


# -- routes


def test_a_route_with_targets_and_rewrites(admin_client: Client, provider: Provider) -> None:
    page = reverse("admin:routing_route_add")
    data = form_data(admin_client.get(page)) | {
        "name": "fast",
        "allowed_fields": "models provider",
        "targets-0-provider": provider.pk,
        "targets-0-model": "gpt-5-mini",
        "targets-0-api": "rerank",
        "targets-0-enabled": "on",
        "rewrites-TOTAL_FORMS": "2",
        "rewrites-0-place": "body",
        "rewrites-0-action": "default",
        "rewrites-0-name": "temperature",
        "rewrites-0-written": "0,3",
        "rewrites-0-position": "0",
        "rewrites-1-place": "header",
        "rewrites-1-action": "set",
        "rewrites-1-name": "x-team",
        "rewrites-1-written": "red",
        "rewrites-1-position": "1",
    }
    wrong = admin_client.post(page, data).content.decode()
    assert "does not serve it" in wrong and "This is not JSON" in wrong
    assert not Route.objects.exists()
    assert admin_client.post(page, data | {"targets-0-api": "", "rewrites-0-written": "0.3"}).status_code == 302
    route = Route.objects.get()
    assert route.allowed_fields == ["models", "provider"]
    assert [rewrite.value for rewrite in route.rewrites.all()] == [0.3, "red"]


@pytest.mark.parametrize("name", ["a*b", "*x", "with space", "<b>", "", "a\nb"])
def test_illegal_route_names(name: str) -> None:
    with pytest.raises(ValidationError):
        Route(name=name).full_clean()


@pytest.mark.parametrize(("typed", "error"), [({"place": "header", "name": "Authorization"}, "cannot be rewritten"), ({"place": "header", "written": "a\nb"}, "printable ASCII"), ({"written": ""}, "Give the value"), ({"name": "Model"}, "decided by the route"), ({"written": "NaN"}, "not JSON")])
def test_illegal_rewrites(admin_client: Client, typed: dict[str, str], error: str) -> None:
    page = reverse("admin:routing_rewrite_add")
    data = form_data(admin_client.get(page)) | {"place": "body", "action": "set", "name": "x-good", "written": "1", "position": "0"}
    assert error in admin_client.post(page, data | typed).content.decode()
    assert not Rewrite.objects.exists()
    assert admin_client.post(page, data).status_code == 302
    assert Rewrite.objects.get().value == 1


def test_an_alias_stands_once(provider: Provider) -> None:
    Alias.objects.create(name="quick", model="fast")
    with pytest.raises(ValidationError, match="exists already"):
        Alias(name="quick", model="slow").full_clean()
    with pytest.raises(ValidationError, match="itself"):
        Alias(name="slow", model="slow").full_clean()


def test_defaults_are_one_row_whose_list_is_its_page(admin_client: Client) -> None:
    url = reverse("admin:routing_defaults_changelist")
    page = admin_client.get(url)["location"]
    assert page == reverse("admin:routing_defaults_add")
    data = form_data(admin_client.get(page)) | {"model": "gpt-5"}
    assert "No enabled route answers" in admin_client.post(page, data).content.decode()
    Route.objects.create(name="gpt-*")
    assert admin_client.post(page, data).status_code == 302
    assert admin_client.get(url)["location"] == reverse("admin:routing_defaults_change", args=[1])
    assert admin_client.get(page).status_code == 403


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("model", "row"), [("routing_route", Route), ("providers_provider", Provider), ("tenants_apikey", ApiKey)])
def test_turning_off_and_on_makes_revisions(admin_client: Client, everything: dict[type[Any], Any], model: str, row: type[Any]) -> None:
    before = Revision.objects.count()
    for number, (action, enabled) in enumerate([("disable", False), ("enable", True)], 1):
        admin_client.post(reverse(f"admin:{model}_changelist"), {"action": action, "_selected_action": [everything[row].pk]})
        assert row.objects.get(pk=everything[row].pk).enabled is enabled
        assert Revision.objects.count() == before + number
    newest = Revision.objects.latest("number")
    page = admin_client.get(reverse("admin:routing_revision_change", args=[newest.number])).content.decode()
    assert newest.actor == "admin" and "admin" in page and "changed" in page


# -- operators


def staff(*codenames: str) -> User:
    user = User.objects.create_user("clerk", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return user


def test_a_token_acts_only_as_its_maker_unless_a_superuser_makes_it(client: Client, admin_user: User) -> None:
    clerk = staff("add_operatortoken", "view_operatortoken", "change_operatortoken")
    token = OperatorToken(user=admin_user, name="root's")
    token.issue()
    token.save()
    client.force_login(clerk)
    page = reverse("admin:tenants_operatortoken_add")
    data = form_data(client.get(page)) | {"name": "mine"}
    assert "Select a valid choice" in client.post(page, data | {"user": admin_user.pk}).content.decode()
    assert client.post(page, data | {"user": clerk.pk}).status_code == 200
    assert [token.user for token in OperatorToken.objects.filter(name="mine")] == [clerk]
    assert "root&#x27;s" not in client.get(reverse("admin:tenants_operatortoken_changelist")).content.decode()
    assert client.post(reverse("admin:tenants_operatortoken_rotate", args=[token.pk]), {"prefix": token.prefix}).status_code == 403
    assert OperatorToken.objects.get(pk=token.pk).digest == token.digest


def test_nobody_makes_himself_a_superuser(client: Client, admin_user: User) -> None:
    clerk = staff("add_user", "view_user", "change_user", "delete_user")
    client.force_login(clerk)
    page = reverse("admin:auth_user_change", args=[clerk.pk])
    data = form_data(client.get(page))
    client.post(page, data | {"is_superuser": "on", "user_permissions": [str(Permission.objects.first().pk)]})  # type: ignore[union-attr]
    clerk.refresh_from_db()
    assert not clerk.is_superuser and clerk.user_permissions.count() == 4
    assert client.post(reverse("admin:auth_user_password_change", args=[admin_user.pk]), {}).status_code == 403
    assert client.post(reverse("admin:auth_user_delete", args=[admin_user.pk]), {"post": "yes"}).status_code == 403
    client.post(reverse("admin:auth_user_changelist"), {"action": "delete_selected", "_selected_action": [admin_user.pk], "post": "yes"})
    assert User.objects.filter(pk=admin_user.pk).exists()
