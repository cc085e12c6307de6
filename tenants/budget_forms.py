"""The admin's forms of budgets and of their temporary increases."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminSplitDateTimeWidget,
    UnfoldAdminTextareaWidget,
    UnfoldBooleanSwitchWidget,
)

from tenants.budget_carry import spent_by_ledger
from tenants.budget_money import DollarsField
from tenants.budget_rows import Budget
from tenants.figures import dollars
from tenants.forms import SEPARATORS, NamesField, NamesWidget
from tenants.lease_rows import LeaseIncrease
from tenants.leases import MOST

PERIODS = (
    ("day", "each day"),
    ("week", "each week"),
    ("month", "each month"),
    ("total", "once and for all"),
    ("fixed", "from one date to another"),
)
SHAPE = ("of", "project", "key", "tag", "end_user", "period", "zone", "first_day", "begins_at", "ends_at")
"""What makes another counter of a budget that has one."""
LONGEST = timedelta(days=3660)


class PercentsField(NamesField):
    """Whole percents, as typed: sorting is left to who typed them, for 8 after 80 is more often a mistake."""

    def to_python(self, value: Any) -> Any:
        words = [word.removesuffix("%") for word in SEPARATORS.split(value or "") if word.removesuffix("%")]
        if not all(word.isascii() and word.isdigit() and len(word) <= 4 for word in words):
            raise ValidationError("Give whole percents, such as 50 80 100.")
        return [int(word) for word in words]


class BudgetForm(forms.ModelForm):  # type: ignore[type-arg]
    anew = forms.BooleanField(
        label="Count anew",
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text="To change what is counted, or its periods: counting begins anew then. The running period begins with what the ledger says was spent in it, and with what workers hold at that moment, so that the change gives nothing away; what they give back stays counted until the period ends. For the second that all workers need to learn of it they serve from what they hold.",
    )

    class Meta:
        model = Budget
        fields = "__all__"  # noqa: DJ007  the admin says which
        field_classes = {
            "amount": DollarsField,
            "thresholds": PercentsField,
            "emails": NamesField,
            "webhook": forms.CharField,
        }
        widgets = {
            "thresholds": NamesWidget,
            "emails": NamesWidget,
        }
        help_texts = {
            "amount": f"US dollars in each period, up to ${MOST // 10**9:,}; at most 9 digits after the point.",
            "project": "Whose spending is counted.",
            "key": "Whose spending is counted.",
            "tag": "Counted are requests that have this tag: sent in x-gateway-tags, or a default.",
        }

    def clean(self) -> dict[str, Any]:
        """What is hidden says nothing."""
        data: dict[str, Any] = super().clean() or self.cleaned_data
        hidden = {"project", "key", "tag", "end_user"} - {data.get("of")}
        if data.get("period") != "fixed":
            hidden |= {"begins_at", "ends_at"}
        for name in hidden & self.fields.keys():
            data[name] = "" if name in ("tag", "end_user") else None
            self.errors.pop(name, None)
        return data

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if not self.errors:
            self._check_name()
        if not self.errors:
            self._check_anew()

    def _check_name(self) -> None:
        # The tenant is no field of an edit, so nobody else asks for both.
        budget = self.instance
        if Budget.objects.filter(tenant_id=budget.tenant_id, name=budget.name).exclude(pk=budget.pk).exists():
            self.add_error("name", f"{budget.tenant} has a budget of this name already.")

    def _check_anew(self) -> None:
        before = self.instance.before()
        if before is None or not self.instance.begins_anew(before) or self.cleaned_data.get("anew"):
            return
        self.add_error(
            "anew",
            f"This counts something else, or in other periods: counting begins anew, {_beginning(self.instance)}. Turn this on if you mean it.",
        )


def _beginning(budget: Budget) -> str:
    window = budget.windows().window(timezone.now().timestamp())
    if window is None:
        return "with nothing, for its period is not under way"
    spent = spent_by_ledger(budget, window)
    if budget.each_alone:
        return f"with what {len(spent)} end users have spent in the running period"
    return f"with {dollars(spent[''])} that the ledger has for the running period, and what workers hold now"


class IncreaseForm(forms.Form):
    """More, for a while. Who gives it is whoever is logged in."""

    amount = DollarsField(label="How much more", help_text="US dollars on top of the budget's amount, in each period.")
    until = forms.SplitDateTimeField(
        label="Until (UTC)",
        widget=UnfoldAdminSplitDateTimeWidget,
        help_text="From then on the budget's own amount holds again. What was spent by then stays spent.",
    )
    reason = forms.CharField(
        max_length=500, widget=UnfoldAdminTextareaWidget({"rows": 2}), help_text="Why; kept with it for good."
    )

    def __init__(self, budget: Budget, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.budget = budget

    def clean_amount(self) -> int:
        return check_raise(self.budget, int(self.cleaned_data["amount"]))

    def clean_until(self) -> datetime:
        return check_until(self.cleaned_data["until"])


def check_raise(budget: Budget, amount: int, pk: int | None = None) -> int:
    """An increase's amount; ``pk`` is its own, if it has one. Raises ValidationError."""
    if amount < 1:
        raise ValidationError("More than nothing.")
    current = LeaseIncrease.objects.filter(counter=budget.counter, ends_at__gt=timezone.now()).exclude(pk=pk or 0)
    if budget.amount + amount + sum(current.values_list("amount", flat=True)) > MOST:
        raise ValidationError(f"Together with the budget that is too much: at most ${MOST // 10**9:,}.")
    return amount


def check_until(until: datetime) -> datetime:
    """When an increase ends. Raises ValidationError."""
    now = timezone.now()
    if until <= now:
        raise ValidationError("That is over: give a time to come.")
    if until > now + LONGEST:
        raise ValidationError("That is no while: at most ten years. Raise the budget's amount instead.")
    return until
