"""Pages of one budget: temporary increases, a new secret for its webhook, and its periods in plain words."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.forms import SplitDateTimeField
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from unfold.admin import ModelAdmin
from unfold.decorators import action

from tenants.budget_figures import increases_of
from tenants.budget_forms import IncreaseForm
from tenants.budget_rows import Budget
from tenants.budget_words import renewal
from tenants.figures import dollars
from tenants.lease_rows import LeaseIncrease

PERIOD = ("period", "zone", "first_day")
MICROSECOND = timedelta(microseconds=1)


def raise_for_a_while(budget: Budget, amount: int, until: datetime, reason: str, by: str) -> LeaseIncrease:
    """A new increase, in force at once. A revision tells all workers to look again."""
    with transaction.atomic():
        made = LeaseIncrease.objects.create(
            counter=budget.counter, amount=amount, ends_at=until, reason=reason, made_by=by[:150]
        )
        budget.save(update_fields=("changed_revision",))
    return made


def end_early(budget: Budget, increase: LeaseIncrease) -> bool:
    """End it now; False where it has ended. What workers hold already they may still spend."""
    now = max(timezone.now(), increase.begins_at + MICROSECOND)
    with transaction.atomic():
        ended = LeaseIncrease.objects.filter(pk=increase.pk, ends_at__gt=now).update(ends_at=now)
        if ended:
            budget.save(update_fields=("changed_revision",))
    return bool(ended)


class BudgetPages(ModelAdmin):  # type: ignore[misc]
    """What the budgets' admin has beside its list and form."""

    actions_detail = ("increase", "rotate")

    @action(description="Raise for a while", url_path="increase", icon="trending_up", permissions=("change",))  # type: ignore[untyped-decorator]
    def increase(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """All increases, and the form of another."""
        budget = self._permitted(request, object_id)
        if request.method == "POST" and "end" in request.POST:
            return self._end(request, budget)
        form = IncreaseForm(budget, request.POST or None)
        if request.method == "POST" and form.is_valid():
            data = form.cleaned_data
            made = raise_for_a_while(budget, data["amount"], data["until"], data["reason"], request.user.get_username())
            said = f"Raised by {dollars(made.amount)} until {made.ends_at:%Y-%m-%d %H:%M} UTC: {made.reason}"
            self.log_change(request, budget, said)
            messages.success(request, said)
            return HttpResponseRedirect(self.page_of(budget, "change"))
        context = {"title": f"Raise {budget} for a while", "form": form, "increases": told(increases_of(budget))}
        return self.page(request, "tenants/budget_increase.html", budget, context, 400 if form.errors else 200)

    def _end(self, request: HttpRequest, budget: Budget) -> HttpResponse:
        wanted = request.POST["end"]
        found = next((row for row in increases_of(budget) if str(row.pk) == wanted), None)
        if found is not None and end_early(budget, found):
            self.log_change(request, budget, f"Ended early: the raise by {dollars(found.amount)}, {found.reason}")
            messages.success(request, f"The raise by {dollars(found.amount)} has ended.")
        else:
            messages.warning(request, "That raise had ended already.")
        return HttpResponseRedirect(self.page_of(budget, "increase"))

    @action(description="New webhook secret", url_path="rotate", icon="autorenew", permissions=("change",))  # type: ignore[untyped-decorator]
    def rotate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Asks first; the form carries the end of what is stored, so that a reloaded page makes no other."""
        budget = self._permitted(request, object_id)
        stale = request.method == "POST" and request.POST.get("was") != budget.webhook_secret[-16:]
        if request.method == "POST" and not stale:
            plain = budget.issue_secret()
            with transaction.atomic():
                budget.save(update_fields=("webhook_secret",))
                self.log_change(request, budget, "Made a new webhook secret.")
            return self.secret_page(request, budget, plain)
        context = {"title": f"New webhook secret of {budget}", "stale": stale, "was": budget.webhook_secret[-16:]}
        return self.page(request, "tenants/budget_rotate.html", budget, context)

    def secret_page(self, request: HttpRequest, budget: Budget, plain: str) -> HttpResponse:
        """The answer to the very request that made it; nothing else ever shows it."""
        found = self.page(request, "tenants/budget_secret.html", budget, {"title": "Webhook secret", "plain": plain})
        found["cache-control"] = "no-store, private"
        found["referrer-policy"] = "no-referrer"
        return found

    def preview(self, request: HttpRequest) -> HttpResponse:
        """What the form's period means, in plain words, before it is saved."""
        if not (self.has_add_permission(request) or self.has_view_permission(request)):
            raise PermissionDenied
        try:
            return JsonResponse({"says": renewal(_typed(request.GET).windows(), time.time())})
        except (ValueError, OverflowError) as error:
            return JsonResponse({"wrong": str(error)})

    def page(
        self, request: HttpRequest, template: str, budget: Budget, context: dict[str, Any], status: int = 200
    ) -> HttpResponse:
        shared = {"opts": self.opts, "original": budget, "object": budget, "back": self.page_of(budget, "change")}
        return TemplateResponse(
            request, template, {**self.admin_site.each_context(request), **shared, **context}, status=status
        )

    def page_of(self, budget: Budget, name: str) -> str:
        found = "tenants_budget_change" if name == "change" else "tenants_budget_increase"
        return reverse(f"admin:{found}", args=[budget.pk])

    def _permitted(self, request: HttpRequest, object_id: str) -> Budget:
        budget: Budget | None = self.get_object(request, object_id)
        if budget is None or not self.has_change_permission(request, budget):
            raise PermissionDenied
        return budget


def told(increases: list[LeaseIncrease]) -> list[dict[str, Any]]:
    """Increases for tables."""
    now = timezone.now()
    return [
        {"row": row, "amount": dollars(row.amount), "running": row.begins_at <= now < row.ends_at} for row in increases
    ]


def _typed(given: Any) -> Budget:
    """An unsaved budget of the period that a form holds. Raises ValueError."""
    texts = {name: given.get(name, "") for name in PERIOD}
    budget = Budget(period=texts["period"], zone=texts["zone"] or "UTC", first_day=_whole(texts["first_day"]))
    budget.begins_at, budget.ends_at = (_time(given, name) for name in ("begins_at", "ends_at"))
    return budget


def _whole(text: str) -> int:
    try:
        return int(text[:10])
    except ValueError:
        raise ValueError("The first day is a whole number.") from None


def _time(given: Any, name: str) -> datetime | None:
    parts = [given.get(f"{name}_{part}", "") for part in (0, 1)]
    try:
        found: datetime | None = SplitDateTimeField(required=False).clean(parts)
    except ValidationError as error:
        raise ValueError(" ".join(error.messages)) from None
    return found
