"""The admin of the operator's own prices. A version that charges stand for can only be ended, and followed by another."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import action, display

from tenants.models import Price
from tenants.price_changes import facts
from tenants.price_forms import COUNTED, PICTURES, SOUND, THOUGHT, TOKENS, EndForm, PriceForm, following
from tenants.price_own import price_of
from tenants.pricing import BadPrice

STATES = {"in force": "success", "later": "info", "over": ""}
SCOPE = ("model", ("provider", "kind"))
MADE = (
    (None, {"fields": ("follows", *SCOPE, ("effective_from", "effective_until"), "context_window", "note")}),
    ("Tokens", {"fields": (TOKENS[:2], TOKENS[2:], THOUGHT)}),
    ("Sound and pictures", {"fields": (("audio_ms", "audio_per"), SOUND[1:], PICTURES)}),
    ("Per request, and what else is counted", {"fields": (COUNTED, "others")}),
    ("Long input and service tiers", {"fields": ("long", "beyond", "tiers")}),
)
USED = (
    (None, {"fields": ("version", "model", ("provider", "kind"), "effective_from")}),
    ("What it says: requests were charged by it, so this stays", {"fields": ("says",)}),
    ("What can still be said", {"fields": ("effective_until", "context_window", "note")}),
)


@admin.register(Price)
class PriceAdmin(ModelAdmin):  # type: ignore[misc]
    list_display = ("model", "scope", "state", "in_force", "costs", "version", "note")
    search_fields = ("model", "provider", "kind", "note")
    list_filter = ("provider", "kind")
    actions_list = ("ask", "unpriced", "upgrade")
    actions_detail = ("follow",)
    warn_unsaved_form = True

    # What may still be changed

    def charged(self, price: Price | None) -> bool:
        """Whether charges stand for it; asked once for each page."""
        if price is None or not price.pk:
            return False
        if "is_charged" not in price.__dict__:
            price.__dict__["is_charged"] = price.charge() is not None
        return bool(price.__dict__["is_charged"])

    def get_form(self, request: HttpRequest, obj: Price | None = None, change: bool = False, **kwargs: Any) -> Any:
        kwargs["form"] = EndForm if self.charged(obj) else PriceForm
        kwargs["fields"] = kwargs["form"]._meta.fields  # the others are the form's own
        return super().get_form(request, obj, change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Price | None = None) -> Any:
        return USED if self.charged(obj) else MADE

    def get_readonly_fields(self, request: HttpRequest, obj: Price | None = None) -> tuple[str, ...]:
        return ("version", "model", "provider", "kind", "effective_from", "says") if self.charged(obj) else ()

    def has_delete_permission(self, request: HttpRequest, obj: Price | None = None) -> bool:
        return super().has_delete_permission(request, obj) and not self.charged(obj)

    def get_actions(self, request: HttpRequest) -> Any:
        """Prices are deleted one by one, where their charges are looked for."""
        return {name: each for name, each in super().get_actions(request).items() if name != "delete_selected"}

    # New versions

    @action(description="New version", url_path="follow", icon="add", permissions=("follow",))  # type: ignore[untyped-decorator]
    def follow(self, request: HttpRequest, object_id: str) -> HttpResponse:
        price: Price | None = self.get_object(request, object_id)
        if price is None or not self.has_add_permission(request):
            raise PermissionDenied
        return HttpResponseRedirect(f"{reverse('admin:tenants_price_add')}?follows={price.pk}")

    def has_follow_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return bool(self.has_add_permission(request))

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        number = request.GET.get("follows", "")
        before = Price.objects.filter(pk=number).first() if number.isdecimal() and len(number) < 19 else None
        found: dict[str, Any] = super().get_changeform_initial_data(request)
        return following(before) if before is not None else found

    def save_model(self, request: HttpRequest, obj: Price, form: Any, change: bool) -> None:
        with transaction.atomic():
            if (before := obj.follows) is not None:
                before.end_at(obj.effective_from)
                before.save(update_fields=("effective_until", "changed_revision"))
                self.log_change(request, before, f"Ended by a new version: in force {before.span}.")
            super().save_model(request, obj, form, change)

    # Pages about all prices; routing has them, which knows providers

    @action(description="What a model costs", url_path="ask", icon="calculate")  # type: ignore[untyped-decorator]
    def ask(self, request: HttpRequest) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:price_ask"))

    @action(description="Models used without a price", url_path="unpriced", icon="money_off")  # type: ignore[untyped-decorator]
    def unpriced(self, request: HttpRequest) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:price_unpriced"))

    @action(description="What an upgrade changed", url_path="upgrade", icon="compare_arrows")  # type: ignore[untyped-decorator]
    def upgrade(self, request: HttpRequest) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:price_upgrade"))

    # The list

    @admin.display(description="for")
    def scope(self, price: Price) -> str:
        return price.provider or (f"every {price.kind}" if price.kind else "every provider")

    @display(description="state", label=STATES)  # type: ignore[untyped-decorator]
    def state(self, price: Price) -> str:
        now = timezone.now()
        if price.effective_until is not None and price.effective_until <= now:
            return "over"
        return "later" if price.effective_from is not None and now < price.effective_from else "in force"

    @admin.display(description="in force", ordering="effective_from")
    def in_force(self, price: Price) -> str:
        return price.span

    @admin.display(description="costs")
    def costs(self, price: Price) -> str:
        said = _said(price)
        return "; ".join(f"{name} {text}" for name, text in said[:2]) + (" …" if len(said) > 2 else "")

    @admin.display(description="what it says")
    def says(self, price: Price) -> SafeString:
        return format_html_join("\n", "<p>{}: {}</p>", _said(price))


def _said(price: Price) -> list[tuple[str, str]]:
    try:
        return list(facts(price_of(price)).items())
    except BadPrice as error:
        return [("cannot be read", str(error))]
