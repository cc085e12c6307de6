"""Django app: Who we call and how they talk."""

from django.apps import AppConfig

from providers import plugins

plugins.load()  # before any model reads the kinds


class ProvidersConfig(AppConfig):
    name = "providers"
    default_auto_field = "django.db.models.BigAutoField"
