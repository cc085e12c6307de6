"""The admin of routes, aliases, rewrites and defaults, and the list of revisions."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display
from unfold.paginator import InfinitePaginator

from routing import dashboard, hook_admin, price_pages
from routing.forms import RewriteForm, RouteForm, TargetForm
from routing.models import Alias, Defaults, Revision, Rewrite, Route, Target
from tenants import key_page, see_as_key
from tenants.read_only import ReadOnly
from tenants.switched import Switched

key_page.example, see_as_key.find = dashboard.example, dashboard.found
#: Modules that register their models when they are imported.
__all__ = ("hook_admin",)
STATES = {"on": "success", "off": "danger", "no usable target": "warning"}


class TargetInline(TabularInline):  # type: ignore[misc]
    model = Target
    form = TargetForm
    fields = ("provider", "model", "priority", "weight", "enabled", "conditions", "fallback_for", "api", "max_tokens")
    verbose_name_plural = "targets: where its requests go, in order of priority"

    def get_extra(self, request: HttpRequest, obj: Route | None = None, **kwargs: Any) -> int:
        return 0 if obj else 1


class RewriteInline(TabularInline):  # type: ignore[misc]
    model = Rewrite
    form = RewriteForm
    fk_name = "route"
    fields = ("position", "place", "action", "name", "written", "provider", "enabled")
    extra = 0
    verbose_name_plural = "rewrites: edits of its requests"


@admin.register(Route)
class RouteAdmin(Switched, ModelAdmin):  # type: ignore[misc]
    form = RouteForm
    inlines = (TargetInline, RewriteInline)
    list_display = ("name", "title", "state", "goes_to", "strategy", "reply_model")
    list_filter = ("enabled", "strategy", "targets__provider")
    search_fields = ("name", "title")
    fieldsets = (
        (None, {"fields": ("name", "title", "enabled")}),
        ("Which target", {"fields": ("strategy", "sticky_by")}),
        ("Patience", {"fields": ("deadline", "connect_timeout", "first_byte_timeout", "idle_timeout", "keep_alive")}),
        ("Requests and replies", {"fields": ("reply_model", "loss", "allowed_fields")}),
    )
    change_form_outer_before_template = "gateway/page_warnings.html"
    warn_unsaved_form = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Route]:
        routes: QuerySet[Route] = super().get_queryset(request)
        return routes.prefetch_related(Prefetch("targets", Target.objects.select_related("provider")))

    def get_readonly_fields(self, request: HttpRequest, obj: Route | None = None) -> tuple[str, ...]:
        return ("name",) if obj else ()

    @display(description="state", label=STATES, ordering="enabled")  # type: ignore[untyped-decorator]
    def state(self, route: Route) -> str:
        usable = any(
            target.enabled and target.provider.enabled and not target.fallback_for for target in route.targets.all()
        )
        return "off" if not route.enabled else "on" if usable else "no usable target"

    @admin.display(description="targets")
    def goes_to(self, route: Route) -> str:
        return ", ".join(f"{target}" + ("" if target.enabled else " (off)") for target in route.targets.all())


@admin.register(Alias)
class AliasAdmin(ModelAdmin):  # type: ignore[misc]
    list_display = ("name", "model", "tenant")
    list_select_related = ("tenant",)
    search_fields = ("name", "model")
    autocomplete_fields = ("tenant",)
    change_form_outer_before_template = "gateway/page_warnings.html"


@admin.register(Rewrite)
class RewriteAdmin(ModelAdmin):  # type: ignore[misc]
    form = RewriteForm
    list_display = ("name", "action", "place", "scope", "position", "enabled")
    list_filter = ("place", "action", "enabled")
    list_select_related = ("route", "provider")
    search_fields = ("name", "route__name", "provider__name")
    autocomplete_fields = ("route",)
    fields = ("position", ("place", "action"), "name", "written", ("route", "provider"), "enabled")

    @admin.display(description="applies to")
    def scope(self, rewrite: Rewrite) -> str:
        return " at ".join(filter(None, (str(rewrite.route or "every route"), str(rewrite.provider or ""))))


@admin.register(Defaults)
class DefaultsAdmin(ModelAdmin):  # type: ignore[misc]
    """One row: its list is its page."""

    fields = ("model", "provider")
    change_form_outer_before_template = "gateway/page_warnings.html"

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        if Defaults.objects.exists():
            return HttpResponseRedirect(reverse("admin:routing_defaults_change", args=[1]))
        if self.has_add_permission(request):
            return HttpResponseRedirect(reverse("admin:routing_defaults_add"))
        reply: HttpResponse = super().changelist_view(request, extra_context)
        return reply

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and not Defaults.objects.exists()


@admin.register(Revision)
class RevisionAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]
    """Read-only: who changed what, and when."""

    list_display = ("number", "when", "actor", "summary")
    search_fields = ("number__exact",)
    search_help_text = "A revision's number"
    fields = ("number", "when", "actor", "what")
    readonly_fields = ("when", "what")
    sortable_by = ()
    paginator = InfinitePaginator
    show_full_result_count = False

    @admin.display(description="time (UTC)")
    def when(self, revision: Revision) -> str:
        return f"{revision.created_at:%Y-%m-%d %H:%M:%S}"

    @admin.display(description="changes")
    def summary(self, revision: Revision) -> str:
        shown = "; ".join(_line(change) for change in revision.changes[:3])
        return shown + (f"; and {len(revision.changes) - 3} more" if len(revision.changes) > 3 else "")

    @admin.display(description="changes")
    def what(self, revision: Revision) -> SafeString:
        return format_html_join("\n", "<p>{}</p>", ((_line(change),) for change in revision.changes))


def _line(change: dict[str, Any]) -> str:
    return f"{change.get('action')} {str(change.get('model')).partition('.')[2]} {change.get('name')}"


site: Any = admin.site
before: Any = getattr(site, "extra_urls", list)
site.extra_urls = lambda: [*before(), *price_pages.urls()]  # beside those of other apps
