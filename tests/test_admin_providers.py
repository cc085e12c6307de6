"""The admin of providers: secrets that go in and never come out, and wrong input."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse

from providers.models import Credential, Provider, UpstreamModel
from routing.models import Revision, Route
from tenants.models import Tenant
from tests.admin_site import SECRET, form_data, urls_of

pytest_plugins = ("tests.admin_rows",)
pytestmark = pytest.mark.django_db


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
    data = form_data(admin_client.get(provider_page(provider))) | {
        "base_url": "https://elsewhere.example/v1",
        "credentials-0-weight": "7",
    }
    reply = admin_client.post(provider_page(provider), data, follow=True)
    assert "credentials of the old one were deleted" in reply.content.decode()
    assert not Credential.objects.exists()


def test_a_new_address_with_a_new_secret(admin_client: Client, provider: Provider) -> None:
    data = form_data(admin_client.get(provider_page(provider))) | {
        "base_url": "https://elsewhere.example/v1",
        "credentials-0-secret": "new-secret",
    }
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
    typed = {
        "name": "new",
        "kind": "vllm",
        "base_url": "http://169.254.1.1:8000/v1",
        "apis": ["chat", "rerank"],
        "extra_headers": "x-team: red\r\n\r\nx-note: a: b",
    }
    assert admin_client.post(page, form_data(admin_client.get(page)) | typed).status_code == 302
    made = Provider.objects.get()
    assert (made.apis, made.extra_headers) == (["chat", "rerank"], {"x-team": "red", "x-note": "a: b"})
    again = form_data(admin_client.get(provider_page(made)))
    lines = sorted(again["extra_headers"].split("\n"))  # PostgreSQL's jsonb keeps no order
    assert (again["apis"], lines) == (["chat", "rerank"], ["x-note: a: b", "x-team: red"])


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


def test_a_provider_goes_with_its_models(admin_client: Client, provider: Provider) -> None:
    UpstreamModel.objects.create(provider=provider, name="m", abilities={"tools": False})
    url = reverse("admin:providers_provider_delete", args=[provider.pk])
    assert admin_client.post(url, {"post": "yes"}).status_code == 302
    assert not Provider.objects.exists() and not UpstreamModel.objects.exists()
