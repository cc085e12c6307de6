"""The admin's forms of prices: dollars for a million tokens, an hour of sound, one picture or request; exact."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal, InvalidOperation, localcontext
from typing import Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.utils import timezone
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from tenants import price_words
from tenants.models import Price
from tenants.price_figures import BadAmount, amounts, per, rate

TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens")
THOUGHT = ("reasoning_tokens",)
SOUND = ("audio_ms", "input_audio_tokens", "output_audio_tokens")
PICTURES = ("images", "input_image_tokens", "output_image_tokens")
COUNTED = ("requests", "web_searches")
SHOWN = (*TOKENS, *THOUGHT, *SOUND, *PICTURES, *COUNTED)
LABELS = {
    "input_tokens": "Input",
    "output_tokens": "Output",
    "cache_read_tokens": "Input read from the cache",
    "cache_write_tokens": "Input written to the cache for 5 minutes",
    "cache_write_1h_tokens": "Input written to the cache for an hour",
    "reasoning_tokens": "Thinking",
    "audio_ms": "Sound by its length",
    "input_audio_tokens": "Sound in",
    "output_audio_tokens": "Sound out",
    "images": "Pictures by their number",
    "input_image_tokens": "Pictures in",
    "output_image_tokens": "Pictures out",
    "requests": "Requests",
    "web_searches": "Web searches",
}
LENGTHS = {"hour": 1, "minute": 60, "second": 3600}
MODEL_FIELDS = ("provider", "kind", "model", "effective_from", "effective_until", "long", "beyond", "tiers")


class AmountField(forms.CharField):
    """What one unit costs in dollars; None where nothing is said."""

    def __init__(self, unit: str) -> None:
        self.unit = unit
        widget = UnfoldAdminTextInputWidget({"inputmode": "decimal", "autocomplete": "off"})
        text = "Dollars per hour, minute or second." if unit == "audio_ms" else f"Dollars per {per(unit).text}."
        super().__init__(label=LABELS[unit], required=False, max_length=60, widget=widget, help_text=text)

    def clean(self, value: Any) -> Any:
        text = super().clean(value).strip().removeprefix("$").strip()
        try:
            return rate(self.unit, text) if text and self.unit != "audio_ms" else text or None
        except BadAmount as error:
            raise ValidationError(_without(self.unit, error)) from None


class WordsField(forms.CharField):
    """A list or mapping of rates as lines of text."""

    def __init__(self, read: Callable[[str], Any], write: Callable[[Any], str], **options: Any) -> None:
        self.read, self.write = read, write
        widget = UnfoldAdminTextareaWidget({"rows": 3, "spellcheck": "false"})
        super().__init__(required=False, widget=widget, **options)

    def prepare_value(self, value: Any) -> Any:
        return value if isinstance(value, str) or value is None else self.write(value)

    def clean(self, value: Any) -> Any:
        try:
            return self.read(super().clean(value))
        except BadAmount as error:
            raise ValidationError(str(error)) from None

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(self.prepare_value(initial or "") != (data or ""))


class PriceForm(forms.ModelForm):  # type: ignore[type-arg]
    """A version that no charge stands for yet. ``follows`` is the one that it ends."""

    follows = forms.IntegerField(
        required=False, widget=forms.HiddenInput, help_text="The version that ends where this one begins."
    )
    audio_per = forms.ChoiceField(
        label="Sound is told per",
        required=False,
        initial="hour",
        help_text="What the amount beside is for. An hour's price is kept.",
        choices=[(name, name) for name in LENGTHS],
        widget=UnfoldAdminSelectWidget,
    )
    others = WordsField(
        price_words.read_rates,
        price_words.write_rates,
        label="Anything else",
        help_text="Units and dollars, such as citation 1, pages 5, code_executions 30.",
    )
    long = WordsField(
        price_words.read_long,
        price_words.write_long,
        label="Long input",
        help_text="Other rates for requests with more input tokens, one length a line: above 200000: input 5, output 15",
    )
    tiers = WordsField(
        price_words.read_tiers,
        price_words.write_tiers,
        label="Service tiers",
        help_text="One a line: batch: input 1.25, output 5. With long input: batch above 200000: input 2.5",
    )

    class Meta:
        model = Price
        fields = (*MODEL_FIELDS, "context_window", "note")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.initial = {**told(self.instance), **self.initial}

    def _post_clean(self) -> None:
        """The instance is filled and validated here: with its rates."""
        data = self.cleaned_data
        given = {unit: data.get(unit) for unit in SHOWN if unit != "audio_ms"}
        rates = {unit: each for unit, each in given.items() if each is not None}
        for unit, each in (data.get("others") or {}).items():
            if unit in rates:
                self.add_error("others", f"{unit} stands above already.")
            rates[unit] = each
        if data.get("audio_ms") is not None and (sound := self._sound(data)) is not None:
            rates["audio_ms"] = sound
        self.instance.rates = rates
        if not rates and not self.errors:
            self.add_error(None, "Say what something costs: 0 if it is free.")
        self._follow(data)
        super()._post_clean()  # type: ignore[misc]

    def _sound(self, data: dict[str, Any]) -> int | None:
        try:
            dollars = Decimal(data["audio_ms"])
            exact = _times(dollars, LENGTHS[data.get("audio_per") or "hour"]) if dollars.is_finite() else dollars
            return rate("audio_ms", exact)
        except InvalidOperation:
            self.add_error("audio_ms", f"{data['audio_ms']!r} is no amount of dollars.")
        except BadAmount as error:
            self.add_error("audio_ms", _without("audio_ms", error))
        return None

    def _follow(self, data: dict[str, Any]) -> None:
        """Take in which version this one ends."""
        before = Price.objects.filter(pk=data["follows"]).first() if data.get("follows") else None
        if before is None:
            return
        start = data.get("effective_from")
        if (before.provider, before.kind, before.model.lower()) != tuple(
            (data.get(name) or "").lower() if name == "model" else data.get(name)
            for name in ("provider", "kind", "model")
        ):
            self.add_error(None, f"It follows {before.version}, which is the price of another model or provider.")
        elif start is None or (before.effective_from is not None and start <= before.effective_from):
            self.add_error("effective_from", f"A new version begins after {before.version}, in force {before.span}.")
        else:
            self.instance.follows = before

    def _update_errors(self, errors: ValidationError) -> None:
        """What the model says of fields that are none here, it says of the whole."""
        if hasattr(errors, "error_dict"):
            told: dict[str, list[Any]] = {}
            for name, each in errors.error_dict.items():
                told.setdefault(name if name in self.fields else NON_FIELD_ERRORS, []).extend(each)
            errors = ValidationError(told)
        super()._update_errors(errors)  # type: ignore[misc]


for _unit in SHOWN:
    PriceForm.declared_fields[_unit] = PriceForm.base_fields[_unit] = AmountField(_unit)


class EndForm(forms.ModelForm):  # type: ignore[type-arg]
    """A version that charges stand for."""

    class Meta:
        model = Price
        fields = ("effective_until", "context_window", "note")


def told(price: Price) -> dict[str, Any]:
    """What the form shows of a price's rates."""
    rates = amounts({unit: each for unit, each in price.rates.items() if unit in SHOWN})
    others = {unit: each for unit, each in price.rates.items() if unit not in SHOWN}
    return {**rates, "others": others, "long": price.long, "tiers": price.tiers}


def following(price: Price) -> dict[str, Any]:
    """What the form of the version after ``price`` begins with: from the next midnight (UTC) on."""
    tomorrow = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    same = {name: getattr(price, name) for name in ("provider", "kind", "model", "beyond", "context_window")}
    return {**same, **told(price), "follows": price.pk, "effective_from": tomorrow}


def _without(unit: str, error: BadAmount) -> str:
    """The field is named by its place."""
    text = str(error).removeprefix(f"{unit}: ")
    return text[:1].upper() + text[1:]


def _times(dollars: Decimal, count: int) -> Decimal:
    """Exactly: what is typed has 60 digits at most."""
    with localcontext(prec=100):
        return dollars * count
