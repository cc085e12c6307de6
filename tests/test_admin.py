"""The admin: every page for every model opens, escapes, is closed to strangers and explains its fields."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from tenants.models import ApiKey, Usage
from tests.admin_site import EVIL, urls_of

pytest_plugins = ("tests.admin_rows",)
pytestmark = pytest.mark.django_db


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


def test_pages_are_closed_to_strangers_and_to_staff_without_permissions(
    client: Client, everything: dict[type[Any], Any]
) -> None:
    urls = [
        url
        for model, row in everything.items()
        if model in admin.site._registry
        for url in urls_of(model, row).values()
    ]
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
        bare += [
            f"{form.__name__}.{name}"
            for form in forms
            for name, field in form.base_fields.items()
            if not field.help_text and name not in ("id", "DELETE")
        ]
        readonly = {str(name) for name in model_admin.get_readonly_fields(request, everything.get(model))}
        columns = [field for field in model._meta.fields if field.name in readonly]
        bare += [f"{model.__name__}.{field.name}" for field in columns if not field.help_text]
    bare += [
        f"Usage.{field.name}" for field in Usage._meta.fields if not field.help_text and not field.name.endswith("_id")
    ]
    assert bare == []
