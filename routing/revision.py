"""One revision per change of anything that requests read, made in the change's own transaction.

Every save or delete of a watched model takes the next number once per transaction, stamps its row with it and writes
who changed what. Taking the number locks the counter's row until the commit, so that a reader who has seen revision N
has seen everything up to N. ``QuerySet.update`` sends no signals: these models are never changed by it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.db import connection, transaction
from django.db.models import F, Model
from django.db.models.signals import post_delete, post_save, pre_save

from providers.models import Credential, Provider, UpstreamModel
from routing.models import Alias, Defaults, Hook, Revision, RevisionCounter, Rewrite, Route, Target, Tombstone
from tenants.models import ApiKey, Budget, Price, Project, Tenant

WATCHED: tuple[type[Model], ...] = (
    Provider,
    Credential,
    UpstreamModel,
    Tenant,
    Project,
    ApiKey,
    Budget,
    Price,
    Route,
    Target,
    Alias,
    Rewrite,
    Defaults,
    Hook,
)
MAX_LISTED = 100

#: Says who is changing things: a user's name, or the management command's.
actor: ContextVar[Callable[[], str]] = ContextVar("actor", default=lambda: "")

#: Called after every committed change, in the thread that made it.
listeners: list[Callable[[], None]] = []


class Change:
    """The revision of one transaction; it waits among the transaction's on-commit calls, so a rollback forgets it."""

    def __init__(self, revision: Revision) -> None:
        self.revision = revision

    def __call__(self) -> None:
        for listener in listeners:
            listener()

    def note(self, action: str, instance: Model) -> None:
        if len(self.revision.changes) < MAX_LISTED:
            self.revision.changes.append(
                {"action": action, "model": instance._meta.label_lower, "id": instance.pk, "name": str(instance)[:200]}
            )
            self.revision.save(update_fields=("changes",))


def _change() -> Change:
    """The change under way in this transaction; the first call of a transaction takes the next number."""
    for _, call, *_ in connection.run_on_commit:
        if isinstance(call, Change):
            return call
    if not RevisionCounter.objects.filter(pk=1).update(number=F("number") + 1):
        RevisionCounter.objects.get_or_create(pk=1)
        RevisionCounter.objects.filter(pk=1).update(number=F("number") + 1)
    number = RevisionCounter.objects.values_list("number", flat=True).get(pk=1)
    change = Change(Revision.objects.create(number=number, actor=actor.get()()[:150]))
    transaction.on_commit(change)
    return change


def _stamp(instance: Any, **_: Any) -> None:
    """Before a save: the lock on the counter comes before the lock on the row, everywhere."""
    if connection.in_atomic_block:
        instance.changed_revision = _change().revision.number


def _saved(sender: type[Model], instance: Any, created: bool, update_fields: frozenset[str] | None, **_: Any) -> None:
    with transaction.atomic():
        change = _change()
        if instance.changed_revision != change.revision.number or (
            update_fields is not None and "changed_revision" not in update_fields
        ):
            instance.changed_revision = change.revision.number
            sender._base_manager.filter(pk=instance.pk).update(changed_revision=change.revision.number)
        change.note("added" if created else "changed", instance)


def _deleted(sender: type[Model], instance: Any, **_: Any) -> None:
    with transaction.atomic():
        change = _change()
        Tombstone.objects.create(revision=change.revision.number, model=sender._meta.label_lower, object_id=instance.pk)
        change.note("deleted", instance)


def connect() -> None:
    """Watch the models; called once, when the app is ready."""
    for model in WATCHED:
        uid = f"revision.{model._meta.label_lower}"
        pre_save.connect(_stamp, model, dispatch_uid=uid)
        post_save.connect(_saved, model, dispatch_uid=uid)
        post_delete.connect(_deleted, model, dispatch_uid=uid)


class ActorMiddleware:
    """Names the request's user as the actor of the changes that it makes. The user is asked for only when one is made,
    since REST requests find theirs in the view."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: Any) -> Any:
        token = actor.set(lambda: request.user.get_username() if hasattr(request, "user") else "")
        if iscoroutinefunction(self):
            return self._wait(request, token)
        try:
            return self.get_response(request)
        finally:
            actor.reset(token)

    async def _wait(self, request: Any, token: Any) -> Any:
        try:
            return await self.get_response(request)
        finally:
            actor.reset(token)
