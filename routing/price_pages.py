"""Pages of the admin about prices: what a model costs, models used without a price, what an upgrade changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Max, Sum
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from providers.models import Provider
from routing.load_prices import PriceLoader, all_upstreams, price_of
from routing.price_effect import Catalogues, effects
from tenants import price_files, price_own, price_rows
from tenants.figures import dollars, rounded
from tenants.models import Price as PriceRow
from tenants.models import Usage
from tenants.partitions import first_id
from tenants.price_changes import changed, facts, lines
from tenants.pricing import BadPrice, Price, cost, unpriced
from tenants.units import BadUnits, Units
from tenants.usage import UNPRICED

DAYS = 30
MOST = 200  # lines of one table
MOST_TOKENS = 10**12
View = Callable[[HttpRequest], HttpResponse]


class AskForm(forms.Form):
    """A model at a provider, and a request as an example."""

    provider = forms.ModelChoiceField(Provider.objects.order_by("name"), to_field_name="name", empty_label="Choose one")
    model = forms.CharField(max_length=255, label="Its name of the model")
    at = forms.DateTimeField(
        required=False, label="At (UTC)", widget=forms.DateTimeInput({"type": "datetime-local", "step": "1"})
    )
    tier = forms.CharField(max_length=30, required=False, label="Service tier")
    input_tokens = forms.IntegerField(min_value=0, max_value=MOST_TOKENS, initial=10_000)
    cache_read_tokens = forms.IntegerField(
        min_value=0, max_value=MOST_TOKENS, initial=0, label="Of these from the cache"
    )
    output_tokens = forms.IntegerField(min_value=0, max_value=MOST_TOKENS, initial=1_000)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the page says of one price, and of the example."""

    price: Price
    facts: dict[str, str]
    total: str
    free: tuple[str, ...]
    own: str  # the address of its page, if it is the operator's


def _page(permission: str) -> Callable[[View], View]:
    def guarded(view: View) -> View:
        @wraps(view)
        def inner(request: HttpRequest) -> HttpResponse:
            if not request.user.has_perm(permission):
                raise PermissionDenied
            with timezone.override(UTC):
                return view(request)

        return inner

    return guarded


def _answer(request: HttpRequest, template: str, status: int = 200, **context: Any) -> HttpResponse:
    shared = admin.site.each_context(request)
    return TemplateResponse(request, f"gateway/{template}", {**shared, **context}, status=status).render()


# ---------------------------------------------------------------- what a model costs


@_page("tenants.view_price")
def ask(request: HttpRequest) -> HttpResponse:
    """What a model costs at a provider, and an example of it."""
    form = AskForm(request.GET if "model" in request.GET else None)
    found, asked = None, form.is_bound and form.is_valid()
    if asked:
        found = _found(form)
    add = ""
    if asked and found is None:
        add = _address(
            "admin:tenants_price_add", provider=form.cleaned_data["provider"].name, model=form.cleaned_data["model"]
        )
    status = 400 if form.is_bound and not form.is_valid() else 200
    return _answer(
        request, "price_ask.html", status, title="What a model costs", form=form, asked=asked, found=found, add=add
    )


def _found(form: AskForm) -> Answer | None:
    data = form.cleaned_data
    moment = data["at"] or timezone.now()
    prices, sources = PriceLoader().load(all_upstreams(), PriceRow.objects.all())
    price = prices.find(sources[data["provider"].pk], data["model"], moment.timestamp())
    if price is None:
        return None
    used = Units(data["input_tokens"], data["output_tokens"], data["cache_read_tokens"])
    try:
        total = dollars(cost(price, used, moment.timestamp(), data["tier"]))
    except BadUnits as error:
        total = str(error)
    own = price.version.removeprefix(f"{price_own.SOURCE}-") if price.source == price_own.SOURCE else ""
    url = reverse("admin:tenants_price_change", args=[own]) if own else ""
    return Answer(price, facts(price), total, unpriced(price, used, moment.timestamp(), data["tier"]), url)


# ---------------------------------------------------------------- models without a price


@_page("tenants.view_usage")
def without(request: HttpRequest) -> HttpResponse:
    """Models that requests of the last 30 days used, of which nobody knows what they cost."""
    since = timezone.now() - timedelta(days=DAYS)
    names = ("provider_id", "provider", "upstream_model")
    rows = Usage.objects.filter(UNPRICED, id__gte=first_id(since)).exclude(upstream_model="").order_by()
    sums = rows.values(*names).annotate(
        requests=Count("id"), given=Sum("input_tokens"), made=Sum("output_tokens"), last=Max("created_at")
    )
    found = sorted(sums, key=lambda row: (-row["requests"], row["provider"], row["upstream_model"]))
    find = price_of() if found else None
    for row in found[:MOST]:
        last = Usage(provider_id=row["provider_id"], provider=row["provider"], upstream_model=row["upstream_model"])
        last.created_at = timezone.now()
        price = find(last) if find is not None else None
        row["priced"] = price.version if price is not None else ""
        row["add"] = _address("admin:tenants_price_add", provider=row["provider"], model=row["upstream_model"])
    may_add = request.user.has_perm("tenants.add_price")
    return _answer(
        request,
        "price_without.html",
        title="Models used without a price",
        rows=found[:MOST],
        more=len(found) - MOST,
        days=DAYS,
        may_add=may_add,
        since=f"{since:%Y-%m-%d}",
        until=f"{timezone.now() + timedelta(days=1):%Y-%m-%d}",
    )


# ---------------------------------------------------------------- what an upgrade changed


@_page("tenants.view_price")
def upgrade(request: HttpRequest) -> HttpResponse:
    """The catalogue in force beside the one before, and what that does to the last 30 days."""
    after = price_files.path()
    before = price_files.previous(after)
    context: dict[str, Any] = {"title": "What an upgrade changed", "days": DAYS, "before": before, "after": after}
    if before is not None:
        try:
            context |= _changes(before, after) | _effects(before, after, timezone.now())
        except (BadPrice, OSError) as error:
            context["problem"] = str(error)
    return _answer(request, "price_upgrade.html", **context)


def _changes(before: Any, after: Any) -> dict[str, Any]:
    old, new = price_rows.read(before.read_bytes()), price_rows.read(after.read_bytes())
    found = changed(old, new)
    told = [lines(change) for change in found[:MOST]]
    return {"old": old.source, "new": new.source, "changes": told, "count": len(found), "more": len(found) - MOST}


def _effects(before: Any, after: Any, now: datetime) -> dict[str, Any]:
    upstreams = all_upstreams()
    overrides = [each for _, each in price_own.together(PriceRow.objects.all()) if not isinstance(each, BadPrice)]
    one, other = (Catalogues(each, upstreams, overrides) for each in (before, after))
    found, complete = effects(one, other, now - timedelta(days=DAYS), now)
    total = sum(each.after - each.before for each in found)
    told = [
        (each, rounded(each.before), rounded(each.after), rounded(each.after - each.before)) for each in found[:MOST]
    ]
    return {"effects": told, "total": rounded(total), "complete": complete, "more_effects": len(found) - MOST}


def _address(name: str, **parameters: str) -> str:
    return f"{reverse(name)}?{urlencode(parameters)}"


def urls() -> list[URLPattern]:
    pages = {"ask": ask, "unpriced": without, "upgrade": upgrade}
    return [path(f"prices/{name}/", admin.site.admin_view(view), name=f"price_{name}") for name, view in pages.items()]
