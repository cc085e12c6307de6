"""Who we call: providers, the credentials that they accept, and the models that they say they have."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models, transaction
from django_prometheus.models import ExportModelOperationsMixin

from providers import rules, secrets, validators
from providers.presets import PRESETS, Preset, kind_choices, preset_of

SLUG = RegexValidator(rules.NAME.pattern, rules.NAMES)


class ProviderQuerySet(models.QuerySet["Provider"]):
    def without_secret(self) -> ProviderQuerySet:
        """Enabled providers whose kind needs a secret and that have no enabled credential with one."""
        kinds = [kind for kind, preset in PRESETS.items() if preset.needs_secret]
        held = Credential.objects.filter(provider=models.OuterRef("pk"), enabled=True).exclude(sealed="")
        return self.filter(enabled=True, kind__in=kinds).exclude(models.Exists(held))


class Provider(ExportModelOperationsMixin("provider"), models.Model):  # type: ignore[misc]
    """One upstream account or server. Its name is immutable: usage rows, limits and metrics refer to it."""

    name = models.CharField(
        max_length=63,
        unique=True,
        validators=[SLUG],
        help_text="Short name used in routes, usage rows and metrics. Cannot be changed later.",
    )
    title = models.CharField(
        max_length=200, blank=True, help_text="What people read. Free text, may be changed at any time."
    )
    kind = models.CharField(
        max_length=40,
        choices=kind_choices,
        help_text="The vendor or server software. It presets the address, how the key is sent and which APIs exist.",
    )
    enabled = models.BooleanField(
        default=True, help_text="Off: no request goes there; targets that name it are skipped."
    )
    base_url = models.CharField(
        "base URL",
        max_length=500,
        blank=True,
        validators=[validators.validate_base_url],
        help_text="Where its API starts, for example https://api.openai.com/v1. Empty: the kind's own address. Changing host, port or scheme clears the credentials.",
    )
    strip_path = models.CharField(
        max_length=100,
        blank=True,
        validators=[validators.validate_strip_path],
        help_text="Leading path to drop from the paths we call, for a server without /v1. Usually empty.",
    )
    apis = models.JSONField(
        "APIs",
        default=list,
        blank=True,
        validators=[validators.validate_apis],
        help_text="Which APIs it serves. None chosen: those that the kind is known to serve.",
    )
    extra_headers = models.JSONField(
        default=dict,
        blank=True,
        validators=[validators.validate_headers],
        help_text='Headers added to every call, as {"name": "value"}. Not for keys: those belong to a credential, where they are encrypted.',
    )
    connect_timeout = models.FloatField(
        default=10, validators=[validators.validate_seconds], help_text="Seconds to wait for a connection."
    )
    first_byte_timeout = models.FloatField(
        default=600,
        validators=[validators.validate_seconds],
        help_text="Seconds to wait for the first byte of a reply. Long thinking models need minutes.",
    )
    idle_timeout = models.FloatField(
        default=300,
        validators=[validators.validate_seconds],
        help_text="Seconds of silence in the middle of a reply after which it counts as broken. There is no limit on the whole.",
    )
    max_retries = models.PositiveSmallIntegerField(
        default=2,
        validators=[MaxValueValidator(10)],
        help_text="How often a failed attempt is tried again at this provider before the next target.",
    )
    max_concurrent = models.PositiveIntegerField(
        "requests at once",
        default=0,
        validators=[MaxValueValidator(1_000_000)],
        help_text="Most requests that it gets at once, over all workers of this host; others wait, fairly between tenants. 0: any number.",
    )
    max_waiting = models.PositiveIntegerField(
        "places in the queue",
        default=100,
        validators=[MaxValueValidator(1_000_000)],
        help_text="How many may wait for their turn. In a full queue whoever waits most for their weight is refused.",
    )
    queue_wait = models.FloatField(
        default=30,
        validators=[validators.validate_seconds],
        help_text="Seconds after which a waiting request goes to the next target, or is refused with 503.",
    )
    breaker = models.CharField(
        "circuit breaker",
        max_length=10,
        blank=True,
        choices=[("", "automatic"), ("open", "held open: nothing is sent"), ("closed", "held closed: all is sent")],
        help_text="One for each of its models: it opens where too many requests fail, and lets one through at a time to see whether all is well again.",
    )
    breaker_ratio = models.FloatField(
        "breaker: share of failures",
        default=0.25,
        validators=[MinValueValidator(0.01), MaxValueValidator(1)],
        help_text="The share of the last 30 seconds' requests whose failure opens it: 5xx, time-outs and broken connections, never 4xx.",
    )
    breaker_requests = models.PositiveIntegerField(
        "breaker: requests at least",
        default=20,
        validators=[MinValueValidator(1), MaxValueValidator(1_000_000)],
        help_text="Fewer requests than this in 30 seconds never open it.",
    )
    breaker_pause = models.FloatField(
        "breaker: pause",
        default=5,
        validators=[validators.validate_seconds],
        help_text="Seconds from its opening to the first probe; doubles with each probe that fails, up to two minutes.",
    )
    stream_usage = models.CharField(
        max_length=10,
        blank=True,
        choices=[("native", "native: tells usage unasked"), ("ask", "ask: must be asked with stream_options")],
        help_text="How token usage of a chat stream is obtained. Empty: what the kind needs.",
    )
    api_version = models.CharField(
        "API version",
        max_length=40,
        blank=True,
        validators=[validators.validate_api_version],
        help_text="Azure OpenAI only: the dated api-version of its deployment paths. Empty: the v1 API, which needs none.",
    )
    lacks = models.JSONField(
        default=list,
        blank=True,
        validators=[validators.validate_lacks],
        help_text="What this server's chat API does not know; requests that are translated to it say it another way.",
    )
    proxy_url = models.CharField(
        "proxy URL",
        max_length=500,
        blank=True,
        validators=[validators.validate_proxy_url],
        help_text="HTTP proxy for this provider only. Empty: HTTPS_PROXY and NO_PROXY of the environment.",
    )
    ca_file = models.CharField(
        "CA file",
        max_length=500,
        blank=True,
        validators=[validators.validate_ca_file],
        help_text="Path of a PEM file with the certificate authorities to trust. Empty: the system's, or SSL_CERT_FILE.",
    )
    models_refreshed_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="When its list of models was last read."
    )
    changed_revision = models.BigIntegerField(default=0, editable=False, db_index=True)

    objects = ProviderQuerySet.as_manager()

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.title or self.name

    @property
    def preset(self) -> Preset:
        return preset_of(self.kind)

    @property
    def address(self) -> str:
        """The base URL in force."""
        return self.base_url or self.preset.base_url

    @property
    def origin(self) -> tuple[str, str, int | None]:
        """Scheme, host and port in force: a credential belongs to these and to nothing else."""
        parts = urlsplit(self.address)
        return parts.scheme, (parts.hostname or "").lower(), parts.port

    @property
    def api_names(self) -> list[str]:
        return list(self.apis or self.preset.apis)

    def clean(self) -> None:
        try:
            rules.check_together(self.kind, self.base_url, self.api_version)
        except rules.FieldError as error:
            raise ValidationError({error.field: str(error)}) from None
        if self.pk and Provider.objects.filter(pk=self.pk).exclude(name=self.name).exists():
            raise ValidationError({"name": "The name cannot be changed: routes, usage rows and metrics refer to it."})

    def set_api_key(self, plain: str) -> None:
        """Replace the secret of the ``default`` credential, or drop that credential if ``plain`` is empty."""
        if not plain:
            for credential in self.credentials.filter(name="default"):
                credential.delete()
            return
        credential = self.credentials.filter(name="default").first() or Credential(provider=self, name="default")
        try:
            known = credential.secret
        except ValueError:  # sealed with a key that is no longer there: replaced all the same
            known = ""
        if known != plain:
            credential.secret = plain
            credential.save()

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save; a changed scheme, host or port deletes the credentials in the same transaction, so that no key follows an address."""
        with transaction.atomic():
            before = Provider.objects.filter(pk=self.pk).first() if self.pk else None
            super().save(*args, **kwargs)
            if before is not None and before.origin != self.origin:
                for credential in Credential.objects.filter(provider=self):
                    credential.delete()


class Credential(ExportModelOperationsMixin("credential"), models.Model):  # type: ignore[misc]
    """A secret that a provider accepts. Write-only: it is encrypted at rest and never shown again."""

    provider = models.ForeignKey(Provider, models.CASCADE, related_name="credentials")
    name = models.CharField(
        max_length=63, default="default", validators=[SLUG], help_text="Tells several keys of one provider apart."
    )
    sealed = models.TextField(blank=True, editable=False)
    hint = models.CharField(
        max_length=12, blank=True, editable=False, help_text="The last characters of the key, to recognise it."
    )
    weight = models.PositiveIntegerField(
        default=1, help_text="Its share of the requests among the provider's credentials."
    )
    enabled = models.BooleanField(default=True, help_text="Off: this key is not used.")
    changed_revision = models.BigIntegerField(default=0, editable=False, db_index=True)

    class Meta:
        ordering = ("provider", "name")
        constraints = [models.UniqueConstraint(fields=("provider", "name"), name="credential_name")]

    def __str__(self) -> str:
        return f"{self.provider.name}/{self.name}"

    @property
    def secret(self) -> str:
        return secrets.decrypt(self.sealed)

    @secret.setter
    def secret(self, plain: str) -> None:
        self.sealed = secrets.encrypt(plain)
        self.hint = f"…{plain[-4:]}" if len(plain) >= 16 else "…"


class UpstreamModel(models.Model):
    """A model that a provider says it has, as last read from it, or one of which the operator says what it can do."""

    provider = models.ForeignKey(Provider, models.CASCADE, related_name="models", help_text="Who has it.")
    name = models.CharField(max_length=255, db_index=True, help_text="The name that the provider knows it by.")
    details = models.JSONField(default=dict, blank=True, help_text="What the provider says of it, as it said it.")
    abilities = models.JSONField(
        default=dict,
        blank=True,
        validators=[validators.validate_abilities],
        help_text='What it can do where the provider does not say so, or says it wrong: {"context_length": 131072, "tools": false}. Requests that need more go to another target. Known: stream, tools, structured, images, audio, video, documents, context_length.',
    )
    seen_at = models.DateTimeField(
        null=True, blank=True, help_text="When the provider last listed it. Empty: it does not list it."
    )
    changed_revision = models.BigIntegerField(default=0, editable=False, db_index=True)

    class Meta:
        ordering = ("provider", "name")
        constraints = [models.UniqueConstraint(fields=("provider", "name"), name="upstream_model_name")]

    def __str__(self) -> str:
        return f"{self.provider.name}/{self.name}"
