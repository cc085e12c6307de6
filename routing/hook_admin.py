"""The admin of hooks: which class, with which options, for whose requests; and where hooks of each phase run."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminSelectWidget

from providers.forms import ObjectField, ObjectWidget
from routing import hook_choice, hook_coverage
from routing.hook_classes import PHASES, phases
from routing.hook_options import options_class, options_schema
from routing.hook_rows import KEPT
from routing.hooks import SECONDS
from routing.models import Hook
from tenants.switched import Switched

STATES = {"on": "success", "off": "danger", "refuses all": "danger"}


class OptionsWidget(ObjectWidget):
    def format_value(self, value: Any) -> str:
        return json.dumps(value, indent=2, ensure_ascii=False) if isinstance(value, dict) else value or ""


class HookForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Hook
        fields = "__all__"  # noqa: DJ007  the admin says which
        field_classes = {"options": ObjectField}
        widgets = {"options": OptionsWidget({"rows": 8})}
        help_texts = {
            "options": f"A JSON object of the options below. Absent ones have their defaults. A secret is shown as {KEPT}: leave that to keep it, or write a new one."
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "name" in self.fields:
            self.fields["name"] = self._choice()

    def _choice(self) -> forms.ChoiceField:
        names = list(hook_choice.classes())
        if self.instance.pk and self.instance.name not in names:
            names.append(self.instance.name)  # it stays what it is until somebody chooses
        return forms.ChoiceField(
            label="Class",
            choices=[("", "Choose one"), *((name, name) for name in names)],
            widget=UnfoldAdminSelectWidget,
            help_text=Hook._meta.get_field("name").help_text,
        )


@admin.register(Hook)
class HookAdmin(Switched, ModelAdmin):  # type: ignore[misc]
    form = HookForm
    list_display = ("order", "label", "name", "state", "scope", "phases", "failure")
    list_display_links = ("label", "name")
    list_filter = ("enabled", "tenant", "route")
    list_select_related = ("tenant", "route")
    search_fields = ("name", "title")
    autocomplete_fields = ("tenant", "route")
    readonly_fields = ("known",)
    actions_list = ("coverage",)
    change_form_outer_before_template = "gateway/page_warnings.html"
    warn_unsaved_form = True
    fieldsets = (
        (None, {"fields": ("name", "title", "enabled", "options", "known")}),
        ("For which requests", {"fields": ("tenant", "route", "order")}),
        ("When it fails", {"fields": ("on_failure", "seconds")}),
    )

    @admin.display(description="title", ordering="title")
    def label(self, hook: Hook) -> str:
        return hook.title or "(none)"

    @display(description="state", label=STATES, ordering="enabled")  # type: ignore[untyped-decorator]
    def state(self, hook: Hook) -> str:
        return "off" if not hook.enabled else "on" if hook.on_failure == "open" or not hook.fault else "refuses all"

    @admin.display(description="applies to")
    def scope(self, hook: Hook) -> str:
        parts = [f"{word} {one.name}" for word, one in (("tenant", hook.tenant), ("route", hook.route)) if one]
        return ", ".join(parts) or "all requests"

    @admin.display(description="phases")
    def phases(self, hook: Hook) -> str:
        found = hook_choice.classes().get(hook.name)
        return ", ".join(phases(found)) if found else "its class cannot be loaded"

    @admin.display(description="on failure")
    def failure(self, hook: Hook) -> str:
        found = hook_choice.classes().get(hook.name)
        policy = hook.on_failure or getattr(found, "on_failure", "closed")
        return f"{policy}, after {hook.seconds or getattr(found, 'seconds', SECONDS):g} s"

    @admin.display(description="what there is")
    def known(self, hook: Hook) -> SafeString:
        """Every class that can be chosen with its options; the chosen one's stand open."""
        found = [described(name, kind) for name, kind in hook_choice.classes().items()]
        return render_to_string("gateway/hook_options.html", {"classes": found, "chosen": hook.name})

    @action(description="Where hooks run", url_path="coverage", permissions=("view",), icon="grid_on")  # type: ignore[untyped-decorator]
    def coverage(self, request: HttpRequest) -> HttpResponse:
        """Every endpoint, whole and streamed, with every phase."""
        rows = [
            {"name": name, "reply": reply, "cells": [row[phase] for phase in PHASES]}
            for name in hook_coverage.endpoints()
            for reply, row in zip(("whole", "stream"), hook_coverage.ENDPOINTS[name], strict=True)
        ]
        context = {
            **self.admin_site.each_context(request),
            "title": "Where hooks run",
            "rows": rows,
            "phases": list(PHASES),
            "words": (hook_coverage.__doc__ or "").partition("\n\n")[2],
        }
        return TemplateResponse(request, "gateway/hook_coverage.html", context)


def described(name: str, hook: type) -> dict[str, Any]:
    """A class for people: what its module says of it, and each of its options."""
    schema = options_schema(options_class(hook))
    said = (hook.__doc__ or getattr(__import__(hook.__module__, fromlist=["x"]), "__doc__", "") or "").strip()
    return {
        "name": name,
        "says": said.partition("\n\n")[0],
        "phases": ", ".join(phases(hook)),
        "failure": getattr(hook, "on_failure", "closed"),
        "seconds": f"{getattr(hook, 'seconds', SECONDS):g}",
        "options": [
            _option(field, facts, field in schema["required"]) for field, facts in schema["properties"].items()
        ],
    }


def _option(name: str, facts: dict[str, Any], required: bool) -> dict[str, str]:
    bounds = [f"{word} {facts[key]:,}" for key, word in (("minimum", "from"), ("maximum", "to")) if key in facts]
    return {
        "name": name,
        "type": " ".join([_type(facts), *bounds]),
        "default": "required" if required else json.dumps(facts["default"], ensure_ascii=False),
        "help": facts.get("description", "") + (" Secret." if facts.get("writeOnly") else ""),
    }


def _type(facts: dict[str, Any]) -> str:
    if "enum" in facts:
        return " | ".join(facts["enum"])
    if facts["type"] == "array":
        return f"list of {_type(facts['items'])}"
    if facts["type"] == "object":
        return f"object of {_type(facts['additionalProperties'])}"
    return str(facts["type"])
