"""Operators: nobody can give away more than they have."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from tenants.models import OperatorToken
from tests.admin_site import form_data

pytest_plugins = ("tests.admin_rows",)
pytestmark = pytest.mark.django_db


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
    assert (
        client.post(
            reverse("admin:tenants_operatortoken_rotate", args=[token.pk]), {"prefix": token.prefix}
        ).status_code
        == 403
    )
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
    client.post(
        reverse("admin:auth_user_changelist"),
        {"action": "delete_selected", "_selected_action": [admin_user.pk], "post": "yes"},
    )
    assert User.objects.filter(pk=admin_user.pk).exists()
