"""What admins of keys and tokens share: a new one is shown once, an old one is rotated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Model
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from unfold.admin import ModelAdmin
from unfold.decorators import action

from tenants.key_page import Issued, key_page


class ShowsOnce(ModelAdmin):  # type: ignore[misc]
    """An admin whose pages make keys: what was made is shown in the answer to the request that made it."""

    def note_issued(self, request: HttpRequest, issued: Issued) -> None:
        # On the request itself, which ends with the answer.
        request.__dict__.setdefault("_issued", []).append(issued)

    def response_add(self, request: HttpRequest, obj: Model, post_url_continue: str | None = None) -> HttpResponse:
        return self._page(request, obj) or super().response_add(request, obj, post_url_continue)

    def response_change(self, request: HttpRequest, obj: Model) -> HttpResponse:
        return self._page(request, obj) or super().response_change(request, obj)

    def _page(self, request: HttpRequest, obj: Model) -> HttpResponse | None:
        issued = request.__dict__.get("_issued")
        return key_page(request, self.admin_site, issued, self.page_of(obj)) if issued else None

    def page_of(self, obj: Model) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[obj.pk])


class Rotates(ShowsOnce):
    """Its objects have ``issue()``: a new one gets a key, and an action gives it another. ``issued`` says what is shown
    of it. ``overlaps`` are for how many seconds the one before may stay valid, and in words; without any it ends at once."""

    issued: Callable[[HttpRequest, Any, str], Issued]
    overlaps: Sequence[tuple[int, str]] = ()
    actions_detail: Sequence[str] = ("rotate",)

    def save_model(self, request: HttpRequest, obj: Any, form: ModelForm[Any], change: bool) -> None:
        plain = "" if change else obj.issue()
        super().save_model(request, obj, form, change)
        if plain:
            self.note_issued(request, self.issued(request, obj, plain))

    @action(description="Rotate", url_path="rotate", icon="autorenew", permissions=("change",))  # type: ignore[untyped-decorator]
    def rotate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Asks first; the form carries the key's prefix, so that a reloaded page rotates nothing."""
        obj = self.get_object(request, object_id)
        if obj is None or not self.has_change_permission(request, obj):
            raise PermissionDenied
        stale = request.method == "POST" and request.POST.get("prefix") != obj.prefix
        seconds = self._overlap(request) if request.method == "POST" and not stale else None
        if seconds is not None:
            return self._rotated(request, obj, seconds)
        context = {
            **self.admin_site.each_context(request),
            "title": f"Rotate {obj}",
            "object": obj,
            "back": self.page_of(obj),
            "stale": stale,
            "overlaps": self.overlaps,
            "unclear": request.method == "POST" and not stale,
        }
        return TemplateResponse(request, "tenants/rotate.html", context)

    def _overlap(self, request: HttpRequest) -> int | None:
        """The seconds that were chosen; None for what nobody could choose."""
        said = request.POST.get("overlap", "0")
        return next((seconds for seconds in (0, *(each for each, _ in self.overlaps)) if str(seconds) == said), None)

    def _rotated(self, request: HttpRequest, obj: Any, seconds: int) -> HttpResponse:
        until = timezone.now() + timedelta(seconds=seconds) if seconds else None
        plain = obj.issue(until) if until else obj.issue()
        with transaction.atomic():
            obj.save()
            told = f"Rotated; the one before is valid until {until:%Y-%m-%d %H:%M} UTC." if until else "Rotated."
            self.log_change(request, obj, told)
        return key_page(request, self.admin_site, [self.issued(request, obj, plain)], self.page_of(obj))
