"""The admin of providers and their credentials. Their models have a module of their own, imported here to be registered."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.contrib import admin, messages
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display

from providers import catalogue, model_admin
from providers.forms import CredentialForm, CredentialFormSet, ProviderForm
from providers.models import Credential, Provider

#: Modules that register their models when they are imported.
__all__ = ("model_admin",)
STATES = {"on": "success", "off": "danger", "held open": "danger", "held closed": "warning"}


class CredentialInline(TabularInline):  # type: ignore[misc]
    model = Credential
    form = CredentialForm
    formset = CredentialFormSet
    fields = ("name", "secret", "hint", "weight", "enabled")
    readonly_fields = ("hint",)

    def get_extra(self, request: HttpRequest, obj: Provider | None = None, **kwargs: Any) -> int:
        return 0 if obj else 1


@admin.register(Provider)
class ProviderAdmin(ModelAdmin):  # type: ignore[misc]
    form = ProviderForm
    inlines = (CredentialInline,)
    list_display = (
        "name",
        "title",
        "kind",
        "state",
        "address",
        "credential_hints",
        "model_count",
        "models_refreshed_at",
    )
    list_filter = ("enabled", "kind", "breaker")
    search_fields = ("name", "title", "base_url")
    ordering = ("name",)
    actions = ("enable", "disable", "hold_open", "hold_closed", "let_go")
    warn_unsaved_form = True
    change_form_outer_before_template = "gateway/provider_state.html"
    fieldsets = (
        (None, {"fields": ("name", "title", "kind", "enabled")}),
        ("Address", {"fields": ("base_url", "strip_path", "proxy_url", "ca_file")}),
        (
            "What it serves",
            {"fields": ("apis", "api_version", "stream_usage", "lacks", "extra_headers", "models_refreshed_at")},
        ),
        ("Patience", {"fields": ("connect_timeout", "first_byte_timeout", "idle_timeout", "max_retries")}),
        ("Queue", {"fields": ("max_concurrent", "max_waiting", "queue_wait")}),
        ("Circuit breaker", {"fields": ("breaker", "breaker_ratio", "breaker_requests", "breaker_pause")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Provider]:
        found: QuerySet[Provider] = (
            super().get_queryset(request).prefetch_related("credentials").annotate(models_known=Count("models"))
        )
        return found

    def get_readonly_fields(self, request: HttpRequest, obj: Provider | None = None) -> tuple[str, ...]:
        return ("models_refreshed_at", "name") if obj else ("models_refreshed_at",)

    def formfield_for_choice_field(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "kind":  # no kind is the obvious one
            kwargs["choices"] = db_field.get_choices(blank_choice=[("", "Choose one")])
        return super().formfield_for_choice_field(db_field, request, **kwargs)

    @display(description="state", label=STATES, ordering="enabled")  # type: ignore[untyped-decorator]
    def state(self, provider: Provider) -> str:
        held = f"held {provider.breaker}" if provider.breaker else ""
        return "off" if not provider.enabled else held or "on"

    @admin.display(description="address")
    def address(self, provider: Provider) -> str:
        return provider.address

    @admin.display(description="credentials")
    def credential_hints(self, provider: Provider) -> str:
        found = [f"{row.name} {row.hint}" + ("" if row.enabled else " (off)") for row in provider.credentials.all()]
        return ", ".join(found) or ("none" if provider.preset.needs_secret else "not needed")

    @admin.display(description="models", ordering="models_known")
    def model_count(self, provider: Any) -> int:
        return int(provider.models_known)

    @admin.action(description="Turn on", permissions=("change",))
    def enable(self, request: HttpRequest, queryset: QuerySet[Provider]) -> None:
        _change(queryset, enabled=True)

    @admin.action(description="Turn off", permissions=("change",))
    def disable(self, request: HttpRequest, queryset: QuerySet[Provider]) -> None:
        _change(queryset, enabled=False)

    @admin.action(description="Hold the breaker open: nothing is sent", permissions=("change",))
    def hold_open(self, request: HttpRequest, queryset: QuerySet[Provider]) -> None:
        _change(queryset, breaker="open")

    @admin.action(description="Hold the breaker closed: all is sent", permissions=("change",))
    def hold_closed(self, request: HttpRequest, queryset: QuerySet[Provider]) -> None:
        _change(queryset, breaker="closed")

    @admin.action(description="Let the breaker work by itself", permissions=("change",))
    def let_go(self, request: HttpRequest, queryset: QuerySet[Provider]) -> None:
        _change(queryset, breaker="")

    def save_model(self, request: HttpRequest, obj: Provider, form: Any, change: bool) -> None:
        credentials = Credential.objects.filter(provider_id=obj.pk)
        before = credentials.exists()
        super().save_model(request, obj, form, change)
        if before and not credentials.exists():
            messages.warning(
                request,
                "The address changed, so the credentials of the old one were deleted. Enter those of the new one.",
            )

    def get_urls(self) -> list[URLPattern]:
        return [
            path("<int:provider_id>/test-connection/", self.test_connection, name="providers_provider_test"),
            *super().get_urls(),
        ]

    async def test_connection(self, request: HttpRequest, provider_id: int) -> HttpResponse:
        """Ask the provider for its models and show what came. It waits for an upstream, so it is a coroutine:
        no thread is held meanwhile. CsrfViewMiddleware has checked the token."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        provider = await sync_to_async(self._permitted)(request, provider_id)
        if isinstance(provider, HttpResponse):
            return provider
        probe = await catalogue.refresh(provider)
        return await sync_to_async(self._told)(request, provider, probe)

    def _permitted(self, request: HttpRequest, provider_id: int) -> Provider | HttpResponse:
        if not self.admin_site.has_permission(request):
            return redirect_to_login(request.get_full_path(), "admin:login")
        provider = Provider.objects.filter(pk=provider_id).first()
        if not self.has_change_permission(request, provider):
            raise PermissionDenied
        if provider is None:
            raise Http404
        return provider

    def _told(self, request: HttpRequest, provider: Provider, probe: catalogue.Probe) -> HttpResponse:
        names = sorted(probe.models)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": provider,
            "title": f"Test of {provider}",
            "provider": provider,
            "probe": probe,
            "milliseconds": round(probe.seconds * 1000),
            "names": names[:200],
            "more": len(names) - 200,
        }
        return TemplateResponse(
            request, "providers/test_connection.html", context, headers={"cache-control": "no-store"}
        ).render()


def _change(queryset: QuerySet[Provider], **values: Any) -> None:
    for provider in queryset:  # one by one: update() would make no revision
        for name, value in values.items():
            setattr(provider, name, value)
        provider.save(update_fields=tuple(values))
