"""The page "See as key": all that holds for a key and who says so, and whether it may do what somebody asks about."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib.admin import AdminSite
from django.core.validators import validate_ipv46_address
from django.http import HttpRequest
from django.template.response import TemplateResponse

from tenants.key_terms import KINDS, budgets, levels, lines, terms_of
from tenants.models import ApiKey
from tenants.terms import SCOPES, Level


@dataclass(frozen=True, slots=True)
class Found:
    """What a model's name leads to: the name under which it is reached, its route, and the providers of that."""

    model: str
    route: str = ""
    providers: tuple[str, ...] = ()


def no_routes(key: ApiKey, model: str) -> Found | None:
    return Found(model)


#: Finds what a model's name leads to, None for a name that leads nowhere. Set by routing, which knows; tenants do not.
find: Callable[[ApiKey, str], Found | None] = no_routes


class Question(forms.Form):
    """May it call this model, from this address, at an endpoint of this scope? What is empty is not asked."""

    model = forms.CharField(max_length=255, required=False)
    address = forms.CharField(required=False, validators=[validate_ipv46_address])
    scope = forms.ChoiceField(choices=[("", "any endpoint"), *((scope, scope) for scope in SCOPES)], required=False)


def answers(key: ApiKey, model: str, address: str, scope: str) -> Iterator[tuple[bool, str]]:
    """Whether, and why: one sentence for each thing that is asked."""
    for kind, row in levels(key):
        if not row.enabled:
            yield False, f"The {kind} {row.name} is off."
    if key.expired:
        yield False, "It has expired."
    terms = terms_of(key)
    if address:
        level = terms.address_refused_by(address)
        yield level is None, f"The address {address} {_words(level, 'is allowed', 'is in no network of')}."
    if scope:
        yield not key.scopes or scope in key.scopes, f"The scope of the endpoint is {scope}."
    if model:
        yield from _of_model(key, model)


def _of_model(key: ApiKey, model: str) -> Iterator[tuple[bool, str]]:
    found = find(key, model)
    if found is None:
        yield False, f"No route leads from the model {model}."
        return
    terms = terms_of(key)
    level = terms.model_refused_by(found.model)
    via = f", which is reached as {found.model}," if found.model != model else ""
    yield level is None, f"The model {model}{via} {_words(level, 'is allowed', 'is not allowed by')}."
    if not found.providers:
        return
    allowed = [name for name in found.providers if terms.provider_allowed(name)]
    names = ", ".join(allowed or found.providers)
    yield bool(allowed), f"Its route {found.route} goes to {names}" + ("." if allowed else ", which it may not use.")


def _words(level: Level | None, good: str, bad: str) -> str:
    return good if level is None else f"{bad} the {level.kind} {level.name}"


def see_page(request: HttpRequest, site: AdminSite, key: ApiKey, back: str) -> TemplateResponse:
    form = Question(request.GET)
    asked: dict[str, Any] = form.cleaned_data if form.is_valid() else {}
    found = list(answers(key, **asked)) if any(asked.values()) else []
    context = {
        **site.each_context(request),
        "title": f"Seen as {key}",
        "key": key,
        "kinds": KINDS,
        "lines": lines(key),
        "budgets": budgets(key),
        "form": form,
        "answers": found,
        "may": bool(found) and all(good for good, _ in found),
        "back": back,
    }
    return TemplateResponse(request, "tenants/see_as_key.html", context)
