"""A new installation: what is made, that it is made once, and that it is left alone afterwards."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from django.contrib.auth import authenticate, get_user_model
from django.core.management import CommandError, call_command

from providers.models import Provider
from routing.bootstrap import Made, bootstrap
from routing.first_request import curl, report, text
from routing.models import Defaults, Revision, Route
from routing.vendors import Vendor
from tenants import keys
from tenants.models import ApiKey, Tenant

OPENAI = Vendor("openai", "sk-0123456789abcdef0123", timeout=90, max_retries=4)
OLLAMA = Vendor("ollama", base_url="http://127.0.0.1:11434")
User = get_user_model()


def targets(provider: str) -> set[str]:
    return set(Route.objects.filter(targets__provider__name=provider).values_list("name", flat=True))


@pytest.mark.django_db
def test_without_any_account_there_is_a_demo(settings: Any) -> None:
    made = bootstrap()
    assert authenticate(username="admin", password=made.password) == User.objects.get(is_superuser=True)
    key = ApiKey.objects.get()
    assert (key.tenant.name, key.name, key.tenant.anonymous) == ("default", "default", False)
    assert key.digest == keys.digest(made.key, settings.GATEWAY_KEY_PEPPERS[0]).hex()
    assert [provider.name for provider in Provider.objects.all()] == ["demo"]
    assert targets("demo") == {"demo", "demo-embedding"}
    assert (Defaults.objects.get().model, Defaults.objects.get().provider) == ("demo", None)


@pytest.mark.django_db
def test_again_makes_nothing() -> None:
    bootstrap([OPENAI, OLLAMA], "ollama")
    revisions = Revision.objects.count()
    again = bootstrap([OPENAI, OLLAMA], "ollama")
    assert again == Made()
    assert Revision.objects.count() == revisions


@pytest.mark.django_db
def test_what_an_operator_deleted_stays_deleted() -> None:
    bootstrap([OPENAI])
    Route.objects.filter(targets__provider__name="openai").delete()
    Defaults.objects.all().delete()
    Provider.objects.all().delete()
    Tenant.objects.all().update(name="renamed")
    ApiKey.objects.all().delete()
    bootstrap([OPENAI])
    assert [provider.name for provider in Provider.objects.all()] == ["demo"]
    Route.objects.filter(targets__provider__name="demo").delete()
    Provider.objects.all().delete()
    bootstrap([OPENAI])
    assert not Provider.objects.exists()
    assert not ApiKey.objects.exists()
    assert Tenant.objects.count() == 1


@pytest.mark.django_db
def test_providers_of_the_environment() -> None:
    made = bootstrap([OPENAI, Vendor("anthropic", "sk-ant"), Vendor("gemini", "AIza"), OLLAMA], "ollama")
    assert [provider.name for provider in made.providers] == ["openai", "anthropic", "gemini", "ollama"]
    openai = Provider.objects.get(name="openai")
    assert openai.credentials.get().secret == OPENAI.api_key
    assert (openai.first_byte_timeout, openai.max_retries, openai.base_url) == (90, 4, "")
    assert targets("openai") == {"gpt-*", "o*", "text-embedding-*", "dall-e-*"}
    assert targets("anthropic") == {"claude-*"}
    assert targets("gemini") == {"gemini-*"}
    ollama = Provider.objects.get(name="ollama")
    assert (ollama.base_url, ollama.credentials.count()) == (OLLAMA.base_url, 0)
    assert Defaults.objects.get().provider == ollama
    assert not Provider.objects.filter(kind="demo").exists()


@pytest.mark.django_db
def test_an_account_that_comes_later_takes_over_from_the_demo() -> None:
    bootstrap()
    bootstrap([OPENAI], "openai")
    row = Defaults.objects.get()
    assert row.provider is not None
    assert (row.provider.name, row.model) == ("openai", "")
    assert targets("demo") == {"demo", "demo-embedding"}


@pytest.mark.django_db
def test_defaults_that_an_operator_chose_stay() -> None:
    bootstrap()
    row = Defaults.objects.get()
    row.model, row.provider = "", Provider.objects.get()
    row.save()
    bootstrap([OPENAI], "openai")
    assert Defaults.objects.get().provider == Provider.objects.get(name="demo")


@pytest.mark.django_db
def test_another_key_in_the_environment_is_told_and_not_taken() -> None:
    bootstrap([OPENAI])
    again = bootstrap([Vendor("openai", "sk-another")])
    assert Provider.objects.get().credentials.get().secret == OPENAI.api_key
    assert "not the one that the provider was made with" in again.notes[0]
    assert "sk-another" not in again.notes[0]


@pytest.mark.django_db
def test_a_provider_that_is_there_already_is_left_alone() -> None:
    Provider.objects.create(name="openai", kind="openai-compatible", base_url="https://mine.example/v1")
    bootstrap([OPENAI])
    assert Provider.objects.get().credentials.count() == 0
    assert targets("openai") == set()


@pytest.mark.django_db
def test_the_gateway_does_not_become_its_own_provider() -> None:
    made = bootstrap()
    again = bootstrap([Vendor("openai", made.key, "http://127.0.0.1:8080/v1")])
    assert not Provider.objects.filter(name="openai").exists()
    assert "key of this gateway" in again.notes[0]


@pytest.mark.django_db
def test_an_address_that_is_never_called_makes_no_provider_and_may_be_mended() -> None:
    made = bootstrap([Vendor("openai", "sk-1", "http://169.254.169.254/v1")])
    assert "No provider openai was made" in made.notes[0]
    assert bootstrap([OPENAI]).providers[0].name == "openai"


@pytest.mark.django_db
def test_anonymous_marks_the_default_tenant_and_no_second_one() -> None:
    bootstrap(anonymous=True)
    assert Tenant.objects.get().anonymous
    Tenant.objects.update(name="renamed")
    assert bootstrap(anonymous=True).notes == []
    Tenant.objects.update(anonymous=False)
    assert "no tenant named default" in bootstrap(anonymous=True).notes[0]


@pytest.mark.django_db
def test_anonymous_off_loopback_needs_a_word(settings: Any) -> None:
    from gateway_project.public import Address

    settings.GATEWAY_ADDRESS = Address("", "0.0.0.0", 8080)
    with pytest.raises(CommandError, match="GATEWAY_ALLOW_ANONYMOUS=1"):
        call_command("bootstrap", anonymous=True)
    settings.GATEWAY_ALLOW_ANONYMOUS = True
    call_command("bootstrap", anonymous=True)
    assert Tenant.objects.get().anonymous


@pytest.mark.django_db
def test_an_admin_who_is_no_superuser_keeps_the_name() -> None:
    User.objects.create_user("admin")
    made = bootstrap()
    assert made.username.startswith("admin-")
    assert User.objects.filter(is_superuser=True, username=made.username).exists()


@pytest.mark.django_db
@pytest.mark.parametrize("vendor", [None, OPENAI, OLLAMA, Vendor("anthropic", "sk-ant"), Vendor("gemini", "AIza")])
def test_what_is_printed_can_be_pasted(vendor: Vendor | None) -> None:
    made = bootstrap([vendor] if vendor else [])
    found = report(made, "https://gw.example")
    assert {made.password, made.key, "https://gw.example/admin/"} <= set(text(found).split())
    parsed = subprocess.run(
        ["sh", "-c", f"curl() {{ printf '%s\\n' \"$@\"; }}; {found['curl']}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert parsed[1].startswith("https://gw.example/v1")
    assert any(made.key in argument for argument in parsed)
    assert json.loads(parsed[-1])
    assert curl("https://gw.example", "gw-other", made.providers[0]) != found["curl"]
