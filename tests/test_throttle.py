"""Guessing the admin's password is slow, for one address and for one name; the operator gets in all the same."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import aauthenticate
from django.contrib.auth.models import User
from django.core.cache import caches
from django.core.exceptions import PermissionDenied
from django.db import connections
from django.test import Client, RequestFactory

from gateway_project.environment import networks
from gateway_project.throttle import TRIES_PER_ADDRESS, TRIES_PER_NAME, claim, client_network

pytestmark = pytest.mark.django_db
LOGIN = "/admin/login/"
PASSWORD = "correct horse battery staple"


@pytest.fixture(autouse=True)
def operator(db: None) -> User:
    caches["shared"].clear()
    return User.objects.create_superuser("boss", password=PASSWORD)


def login(name: str, password: str, address: str = "192.0.2.1") -> Any:
    return Client(REMOTE_ADDR=address).post(LOGIN, {"username": name, "password": password})


def test_tries_of_one_address_are_counted() -> None:
    for _ in range(TRIES_PER_ADDRESS):
        assert b"Too many" not in login("boss", "wrong").content
    refused = login("boss", PASSWORD)
    assert b"Too many failed tries. Wait 5 minutes" in refused.content
    assert "_auth_user_id" not in refused.client.session
    assert login("boss", PASSWORD, "192.0.2.2").status_code == 302


def test_tries_for_one_name_are_counted_over_all_addresses() -> None:
    for number in range(TRIES_PER_NAME):
        login("boss", "wrong", f"198.51.100.{number}")
    assert b"Too many" in login("boss", PASSWORD, "203.0.113.1").content


def test_success_gives_the_try_back() -> None:
    for _ in range(TRIES_PER_ADDRESS + 2):
        assert login("boss", PASSWORD).status_code == 302


def test_a_name_may_be_anything() -> None:
    for name in ("", "ä" * 300, "a b\x07", "\udcff"):
        claim(None, name)


def test_authenticating_asynchronously_is_throttled_too() -> None:
    request = RequestFactory().post(LOGIN)
    for _ in range(TRIES_PER_ADDRESS):
        assert async_to_sync(aauthenticate)(request, username="boss", password="wrong") is None
    assert async_to_sync(aauthenticate)(request, username="boss", password=PASSWORD) is None


@pytest.mark.parametrize(
    ("peer", "forwarded", "found"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "203.0.113.9", "192.0.2.1"),  # nobody to be believed
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "1.1.1.1, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("2001:db8::5", "", "2001:db8::/64"),
    ],
)
def test_who_asks(settings: Any, peer: str, forwarded: str, found: str) -> None:
    settings.GATEWAY_TRUSTED_PROXIES = networks("10.0.0.0/8")
    request = RequestFactory(REMOTE_ADDR=peer).post(LOGIN, headers={"x-forwarded-for": forwarded} if forwarded else {})
    assert client_network(request) == found


@pytest.mark.django_db(transaction=True)
def test_tries_at_once_get_no_more_than_there_are() -> None:
    request = RequestFactory(REMOTE_ADDR="192.0.2.77").post(LOGIN)

    def take(number: int) -> bool:
        try:
            claim(request, f"name-{number}")
        except PermissionDenied:
            return False
        finally:
            connections.close_all()
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(take, range(TRIES_PER_ADDRESS * 4))) == TRIES_PER_ADDRESS
