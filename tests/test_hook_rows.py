"""The rows of hooks: what may be chosen, options with their secrets, and how they come to requests."""

from __future__ import annotations

import logging
from typing import Any

import orjson
import pytest
from django.core.checks import run_checks
from django.core.exceptions import ValidationError

from providers import secrets
from routing.hook_choice import classes
from routing.hook_rows import KEPT, unsealed
from routing.hooks import Absent, Means
from routing.load import Loader
from routing.models import Hook, Revision, Route
from routing.shipped import SHIPPED
from routing.shipped.redact import Redact
from routing.warnings import warnings
from tenants.models import Tenant
from tests.hook_classes import Counting

pytestmark = pytest.mark.django_db
COUNTING = "tests.hook_classes:Counting"
SECRET = "tok-0123456789abcdef"


@pytest.fixture(autouse=True)
def chosen(settings: Any) -> None:
    settings.GATEWAY_HOOKS = [COUNTING, "tests.hook_classes:Knows"]


def refused(**fields: Any) -> dict[str, list[str]]:
    with pytest.raises(ValidationError) as caught:
        Hook(**fields).full_clean()
    return caught.value.message_dict


def saved(**fields: Any) -> Hook:
    hook = Hook(**fields)
    hook.full_clean()
    hook.save()
    return Hook.objects.get(pk=hook.pk)


def instance(loader: Loader, name: str) -> Any:
    hooks = loader.refresh().hooks
    assert hooks is not None
    (found,) = [step.hook for step in hooks.before_request if step.row.name == name]
    return found


# ---------------------------------------------------------------- what may be chosen


def test_shipped_ones_have_short_names() -> None:
    short = {name.rpartition(":")[2] for name in SHIPPED}
    assert short == {"RequestLog", "Redact", "BlockSecrets", "Moderate", "Inject", "WebhookAuth"}
    assert short | {COUNTING} < set(classes()) and classes()["Redact"] is Redact


@pytest.mark.parametrize("name", ["tests.hook_classes:NoHook", "os:system", "Nothing", ""])
def test_nothing_else_can_be_chosen(name: str) -> None:
    assert "name" in refused(name=name)
    assert not Hook.objects.exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tests.hook_classes:NoHook", "none of the methods"),
        ("tests.hook_classes:Absent", "has no attribute"),
        ("no_such_module:X", "No module named"),
        ("Redacted", "module:Class"),
    ],
)
def test_a_wrong_name_is_a_failing_check(settings: Any, name: str, words: str) -> None:
    settings.GATEWAY_HOOKS = [COUNTING, name]
    (error,) = [message for message in run_checks() if message.id == "gateway.E002"]
    assert name in error.msg and words in error.msg
    assert COUNTING in classes()


# ---------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"most": 0}, "most: must be at least 1."),
        ({"most": "many"}, "most: must be a whole number."),
        ({"words": ["a", 1]}, "words[1]: must be a text."),
        ({"mots": 1}, "mots: is not an option of this hook."),
        ([], "The options must be an object."),
        ({"url": "\ud800"}, "The options hold a value that JSON has not."),
        ({"most": 2**70}, "The options hold a value that JSON has not."),
        ({"token": KEPT}, f"token: nothing is stored that {KEPT} could stand for."),
    ],
)
def test_wrong_options_are_named(options: Any, words: str) -> None:
    assert refused(name=COUNTING, options=options or [None])["options"] == [words]


def test_a_required_option_and_a_check_of_the_classs_own() -> None:
    assert refused(name="Moderate")["options"] == ["model: is required."]
    assert "patterns.x" in refused(name="Redact", options={"patterns": {"x": "a*"}})["options"][0]


def test_secrets_are_sealed_and_kept() -> None:
    hook = saved(name=COUNTING, options={"url": "https://a.test/x", "token": SECRET, "words": ["a", "b"]})
    assert hook.options == {"url": "https://a.test/x", "token": KEPT, "words": KEPT}
    assert SECRET not in hook.sealed and unsealed(hook.sealed) == {"token": SECRET, "words": ["a", "b"]}
    before = hook.sealed
    hook.options = {"url": "https://a.test/y", "token": KEPT, "words": KEPT, "most": 5}
    hook.full_clean()
    hook.save()
    assert hook.sealed == before, "what did not change is not written anew"
    assert instance(Loader(), COUNTING).options == Counting.Options("https://a.test/y", SECRET, ("a", "b"), 5)
    hook.options = {"token": SECRET}
    hook.full_clean()
    hook.save()
    assert unsealed(hook.sealed) == {"token": SECRET} and hook.options == {"token": KEPT}
    hook.options = {"token": ""}
    hook.save()
    assert (hook.sealed, hook.options) == ("", {"token": ""})


def test_secrets_are_nowhere_else() -> None:
    hook = saved(name=COUNTING, title="Counter", options={"token": SECRET})
    Hook.objects.create(name=COUNTING, options={"token": SECRET})  # without any cleaning
    shown = [*Hook.objects.values(), *Revision.objects.values(), repr(hook), repr(Loader().refresh().hooks)]
    assert SECRET not in str(shown)


@pytest.mark.parametrize(
    "edit",
    [
        {"options": {"url": "https://b.test/", "token": KEPT}},
        {"options": {"url": "http://a.test/", "token": KEPT}},
        {"options": {"url": "https://a.test:444/", "token": KEPT}},
        {"name": "WebhookAuth", "options": {"url": "https://a.test/", "secret": KEPT}},
    ],
)
def test_a_secret_follows_to_no_other_address_or_class(edit: dict[str, Any]) -> None:
    hook = saved(name=COUNTING, options={"url": "https://a.test/", "token": SECRET})
    for name, value in edit.items():
        setattr(hook, name, value)
    with pytest.raises(ValidationError, match=r"(token|secret): (give it anew|nothing is stored)"):
        hook.full_clean()


def test_a_secret_that_no_key_opens(caplog: pytest.LogCaptureFixture, settings: Any) -> None:
    hook = saved(name=COUNTING, options={"token": SECRET})
    Hook.objects.filter(pk=hook.pk).update(sealed="gAAAA-nobody-opens-this")
    hook.refresh_from_db()
    with pytest.raises(ValidationError, match="give it anew"):
        hook.full_clean()
    with caplog.at_level(logging.ERROR):
        assert isinstance(instance(Loader(), COUNTING), Absent)
    assert "no key of GATEWAY_ENCRYPTION_KEYS opens this secret" in caplog.text
    hook.options = {"token": "new"}
    hook.full_clean()
    hook.save()
    assert orjson.loads(secrets.decrypt(hook.sealed)) == {"token": "new"}


def test_who_authenticates_does_so_for_all() -> None:
    tenant, route = Tenant.objects.create(name="acme"), Route.objects.create(name="m")
    assert "tenant" in refused(name="tests.hook_classes:Knows", tenant=tenant)
    assert "route" in refused(name="tests.hook_classes:Knows", route=route)
    Hook(name="tests.hook_classes:Knows").full_clean()


@pytest.mark.parametrize(
    "fields", [{"seconds": 0}, {"seconds": -1.0}, {"on_failure": "perhaps"}, {"seconds": 1e9}, {"order": "first"}]
)
def test_wrong_fields(fields: dict[str, Any]) -> None:
    assert set(refused(name=COUNTING, **fields)) == set(fields)


# ---------------------------------------------------------------- to requests


@pytest.mark.django_db(transaction=True)
def test_hooks_come_into_the_snapshot() -> None:
    loader, means = Loader(), Means()
    loader.means = means
    assert loader.refresh().hooks is None
    tenant, route = Tenant.objects.create(name="acme"), Route.objects.create(name="m")
    saved(name=COUNTING, order=2, seconds=7.5, on_failure="closed", tenant=tenant, route=route, options={"most": 3})
    saved(name="Inject", order=1, options={"text": "Be kind."})
    off = saved(name="Redact", enabled=False)
    hooks = loader.refresh().hooks
    assert hooks is not None
    inject, counting = hooks.before_request
    assert (inject.row.name, inject.seconds, inject.closed) == ("Inject", 5.0, True)
    assert (counting.row.tenant_id, counting.row.route_id) == (tenant.pk, route.pk)
    assert (counting.seconds, counting.closed) == (7.5, True) and counting.hook.means is means
    off.enabled = True
    off.save()
    hooks = loader.refresh().hooks
    assert hooks is not None and len(hooks.before_request) == 3
    tenant.delete()
    hooks = loader.refresh().hooks
    assert hooks is not None and [step.row.name for step in hooks.before_request] == ["Redact", "Inject"]
    Hook.objects.get(name="Inject").delete()
    off.delete()
    assert loader.refresh().hooks is None


@pytest.mark.django_db(transaction=True)
def test_a_hook_lives_on_until_its_row_changes() -> None:
    hook, loader = saved(name=COUNTING, options={"token": SECRET}), Loader()
    first = instance(loader, COUNTING)
    Route.objects.create(name="m")
    saved(name="Redact", order=-1)
    assert instance(loader, COUNTING) is first
    hook.order, hook.title = 7, "Now with a title"
    hook.save()
    assert instance(loader, COUNTING) is first
    hook.options = {"token": "another"}
    hook.save()
    second = instance(loader, COUNTING)
    assert second is not first and second.options.token == "another"


def test_options_that_fit_no_more_are_warned_of() -> None:
    hook = saved(name=COUNTING, options={"token": SECRET})
    assert warnings(hook) == []
    Hook.objects.filter(pk=hook.pk).update(options={"mots": 1})
    assert "mots: is not an option of this hook" in warnings(Hook.objects.get())[0].text
    Hook.objects.filter(pk=hook.pk).update(options={"token": KEPT}, sealed="gAAAA-nobody")
    (danger,) = warnings(Hook.objects.get())
    assert "no key of GATEWAY_ENCRYPTION_KEYS opens this secret" in danger.text and SECRET not in danger.text


@pytest.mark.django_db(transaction=True)
def test_a_class_that_is_not_there_lets_nothing_pass(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    hook = saved(name=COUNTING)
    settings.GATEWAY_HOOKS = []
    with caplog.at_level(logging.ERROR):
        assert isinstance(instance(Loader(), COUNTING), Absent)
    assert f"hook {COUNTING} cannot be made: nothing passes" in caplog.text
    (danger,) = warnings(hook)
    assert danger.text.endswith(f"there is no class {COUNTING} here. Requests that it is for are refused.")
    hook.on_failure = "open"
    hook.save()
    assert warnings(hook) == []
    (step,) = Loader().refresh().hooks.before_request  # type: ignore[union-attr]
    assert not step.closed
