"""The admin of budgets: what they allow, what stands of them now, and what they were before."""

from __future__ import annotations

import time
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.views import ChangeList

from tenants import budget_words
from tenants.budget_figures import Figures, figures, holders_of, increases_of, windows_of
from tenants.budget_forms import PERIODS, BudgetForm
from tenants.budget_pages import BudgetPages, told
from tenants.budget_rows import Budget, Notice
from tenants.figures import dollars, rounded
from tenants.lease_rows import LeaseWindow

KINDS = {"hard": "info", "soft": "warning", "off": "danger"}
NOTICES = 50


class Listed(ChangeList):  # type: ignore[misc]
    """Every row of a page with its figures, which take as many queries for a hundred rows as for one."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows: list[Any] = list(self.result_list)  # type: ignore[has-type]
        found = figures(rows)
        for row in rows:
            row.now = found[row.pk]
        self.result_list = rows


@admin.register(Budget)
class BudgetAdmin(BudgetPages):
    form = BudgetForm
    list_display = ("name", "tenant", "counted", "state", "cap", "spent", "held", "left", "used", "renews")
    list_filter = ("enabled", "hard", "period", "of")
    list_select_related = ("tenant", "project", "key")
    search_fields = ("name", "tenant__name", "project__name", "key__name", "tag", "end_user")
    search_help_text = "A part of the budget's name, or of whose spending it counts"
    list_fullwidth = True
    autocomplete_fields = ("tenant", "key")
    change_form_outer_before_template = "tenants/budget_now.html"
    change_form_outer_after_template = "tenants/budget_history.html"
    warn_unsaved_form = True
    fieldsets = (
        (None, {"fields": ("tenant", "name", "enabled", "amount", "hard")}),
        ("What is counted", {"fields": ("of", "project", "key", "tag", "end_user")}),
        ("Periods", {"fields": ("period", "zone", "first_day", "begins_at", "ends_at")}),
        ("Warnings", {"fields": ("thresholds", "emails", "webhook")}),
    )
    conditional_fields = {
        "project": "of == 'project'",
        "key": "of == 'key'",
        "tag": "of == 'tag'",
        "end_user": "of == 'end_user'",
        "zone": "['day', 'week', 'month'].includes(period)",
        "first_day": "['week', 'month'].includes(period)",
        "begins_at": "period == 'fixed'",
        "ends_at": "period == 'fixed'",
    }

    class Media:
        js = ("gateway/budget.js",)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[Listed]:
        return Listed

    def get_fieldsets(self, request: HttpRequest, obj: Budget | None = None) -> Any:
        if obj is None:
            return self.fieldsets
        name, options = self.fieldsets[2]
        return (*self.fieldsets[:2], (name, {"fields": (*options["fields"], "anew")}), *self.fieldsets[3:])

    def get_readonly_fields(self, request: HttpRequest, obj: Budget | None = None) -> tuple[str, ...]:
        return ("tenant",) if obj else ()

    def formfield_for_choice_field(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "period":
            kwargs["choices"] = PERIODS
        return super().formfield_for_choice_field(db_field, request, **kwargs)

    def get_urls(self) -> list[URLPattern]:
        preview = self.admin_site.admin_view(self.preview)
        return [path("preview/", preview, name="tenants_budget_preview"), *super().get_urls()]

    def save_model(self, request: HttpRequest, obj: Budget, form: ModelForm[Budget], change: bool) -> None:
        super().save_model(request, obj, form, change)
        if obj.webhook and not obj.webhook_secret:
            request.__dict__["_secret"] = obj.issue_secret()  # on the request itself, which ends with the answer
            obj.save(update_fields=("webhook_secret",))
        now = figures([obj])[obj.pk]
        if change and "amount" in form.changed_data and obj.enabled and now.left <= 0:
            messages.warning(request, f"Nothing is left of it: {_spent(now)}. {_until(now)}")

    def response_add(self, request: HttpRequest, obj: Budget, post_url_continue: str | None = None) -> HttpResponse:
        return self._made(request, obj) or super().response_add(request, obj, post_url_continue)

    def response_change(self, request: HttpRequest, obj: Budget) -> HttpResponse:
        return self._made(request, obj) or super().response_change(request, obj)

    def _made(self, request: HttpRequest, budget: Budget) -> HttpResponse | None:
        plain = request.__dict__.get("_secret")
        return self.secret_page(request, budget, plain) if plain else None

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        budget = kwargs.get("obj")
        if budget is not None:
            context.update(_state(Budget.objects.select_related("tenant", "project", "key").get(pk=budget.pk)))
        return super().render_change_form(request, context, *args, **kwargs)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Budget]:
        found: QuerySet[Budget] = super().get_queryset(request)
        return found

    @admin.display(description="counts")
    def counted(self, budget: Budget) -> str:
        return budget_words.subject(budget)

    @display(description="kind", label=KINDS, ordering="hard")  # type: ignore[untyped-decorator]
    def state(self, budget: Budget) -> str:
        return "off" if not budget.enabled else "hard" if budget.hard else "soft"

    @admin.display(description="amount", ordering="amount")
    def cap(self, budget: Any) -> str:
        raised = f" + {rounded(budget.now.increase)}" if budget.now.increase else ""
        return rounded(budget.amount) + raised

    @admin.display(description="spent")
    def spent(self, budget: Any) -> str:
        return rounded(budget.now.spent) + (f" by {budget.now.users}" if budget.now.users else "")

    @admin.display(description="held")
    def held(self, budget: Any) -> str:
        return rounded(budget.now.held)

    @admin.display(description="left")
    def left(self, budget: Any) -> str:
        least = " at least" if budget.now.users else ""
        return rounded(max(0, budget.now.left)) + least

    @admin.display(description="used")
    def used(self, budget: Any) -> SafeString:
        return bar(budget.now.percent)

    @admin.display(description="renews")
    def renews(self, budget: Any) -> str:
        return str(budget.now.renews)


def bar(percent: int) -> SafeString:
    """A bar and its number, which may be greater than what fits."""
    colour = "gw-over" if percent >= 100 else "gw-high" if percent >= 80 else ""
    return format_html(
        '<span class="gw-bar {}"><span style="width: {}%"></span></span> {}&nbsp;%', colour, min(percent, 100), percent
    )


def _spent(now: Figures) -> str:
    held = f", and workers hold {dollars(now.held)}" if now.held else ""
    return f"{dollars(now.spent)} of {dollars(now.cap + now.increase)} are spent{held}"


def _until(now: Figures) -> str:
    return f"So it stays until it renews: {now.renews}." if now.renews != budget_words.NO_END else "It never renews."


def _state(budget: Budget) -> dict[str, Any]:
    """What the templates around the form show."""
    now, period = figures([budget])[budget.pk], budget.windows()
    return {
        "now": now,
        "bar": bar(now.percent),
        "words": budget_words.renewal(period, time.time()),
        "counts": budget_words.subject(budget),
        "figures": [
            ("amount", dollars(now.cap)),
            *([("raised by", dollars(now.increase))] if now.increase else []),
            ("spent", dollars(now.spent)),
            ("held by workers", dollars(now.held)),
            ("left", dollars(max(0, now.left))),
        ],
        "windows": [_window(budget, row) for row in windows_of(budget)],
        "increases": told(increases_of(budget)),
        "holders": [(holder, dollars(holder.left)) for holder in holders_of(budget)],
        "notices": [_notice(row) for row in Notice.objects.filter(budget_id=budget.pk)[:NOTICES]],
    }


def _window(budget: Budget, row: LeaseWindow) -> dict[str, Any]:
    window = budget_words.window_at(budget.windows(), row.start)
    same = row.counter == budget.counter
    return {
        "row": row,
        "days": budget_words.days(window, budget.zone) if same else f"from {budget_words.moment(row.start)}",
        "before": not same,
        "spent": dollars(row.spent),
        "held": dollars(row.granted),
        "cap": dollars(row.cap),
        "bar": bar(row.spent * 100 // row.cap if row.cap else 0),
    }


def _notice(row: Notice) -> dict[str, Any]:
    state = "sent" if row.sent_at else "waits" if row.next_at.year < 9999 else "not sent"
    return {"row": row, "state": state, "spent": dollars(row.spent), "cap": dollars(row.cap)}
