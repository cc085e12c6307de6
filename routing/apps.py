"""Django app: Which tenant's request goes to which provider."""

from django.apps import AppConfig


class RoutingConfig(AppConfig):
    name = "routing"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from routing import checks, defaults, revision, warners

        defaults.install()
        checks.connect()
        revision.connect()
        warners.connect()
