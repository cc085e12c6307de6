"""Django settings: wiring, and what the environment says. How a value is read is in ``environment`` and its neighbours."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from gateway_project.database import SQLITE, database
from gateway_project.environment import (
    Environment,
    Network,
    Refused,
    days,
    load_env_file,
    networks,
    place,
    size,
    split,
    url,
)
from gateway_project.keyring import data_directory, encryption_keys, keyring, peppers
from gateway_project.logs import LEVELS, logging_config
from gateway_project.mail import SECONDS, mail
from gateway_project.public import Address
from gateway_project.unfold import UNFOLD as THEME
from gateway_project.vendors import default_vendor, vendors

BASE_DIR = Path(__file__).resolve().parent.parent
load_env_file(BASE_DIR)
env = Environment(os.environ)

# The gateway
GATEWAY_DATA_DIR = data_directory(env, BASE_DIR)
DATABASES = {"default": database(env, GATEWAY_DATA_DIR)}
_secrets = keyring(env, GATEWAY_DATA_DIR, generate=DATABASES["default"]["ENGINE"] == SQLITE)
SECRET_KEY = _secrets["SECRET_KEY"]
SECRET_KEY_FALLBACKS: list[str] = env.read("SECRET_KEY_FALLBACKS", split, [])
GATEWAY_ENCRYPTION_KEYS = encryption_keys(_secrets["GATEWAY_ENCRYPTION_KEYS"])
GATEWAY_KEY_PEPPERS = peppers(_secrets["GATEWAY_KEY_PEPPERS"])

GATEWAY_ADDRESS = Address(
    public_url=env.read("GATEWAY_PUBLIC_URL", url, ""),
    host=env.text("SERVER_HOST", default="127.0.0.1"),
    port=env.whole("SERVER_PORT", "LLM_GATEWAY_SERVER_PORT", default=8080, least=0, most=65535),
)
GATEWAY_PUBLIC_URL = GATEWAY_ADDRESS.public_url
GATEWAY_SERVER = "daphne" if "runserver" in sys.argv[:2] else "uvicorn"  # "serve" overrides it
GATEWAY_TRUSTED_PROXIES: list[Network] = env.read("GATEWAY_TRUSTED_PROXIES", networks, [])
GATEWAY_ANONYMOUS_ANYWHERE = env.flag("GATEWAY_ALLOW_ANONYMOUS")
GATEWAY_ALLOW_ANONYMOUS = GATEWAY_ANONYMOUS_ANYWHERE or GATEWAY_ADDRESS.private
GATEWAY_METRICS_TOKEN = env.text("GATEWAY_METRICS_TOKEN")
GATEWAY_METRICS_ALLOW: list[Network] = env.read("GATEWAY_METRICS_ALLOW", networks, [])
GATEWAY_MAX_BODY_BYTES = env.read("GATEWAY_MAX_BODY_BYTES", size, 64 * 2**20)
GATEWAY_MAX_HELD_BYTES = env.read("GATEWAY_MAX_HELD_BYTES", size, 2**30)
GATEWAY_READ_TIMEOUT = env.seconds("SERVER_READ_TIMEOUT", default=60)
GATEWAY_SEND_TIMEOUT = env.seconds("GATEWAY_SEND_TIMEOUT", "SERVER_WRITE_TIMEOUT", default=60)
GATEWAY_DRAIN_DELAY = env.seconds("GATEWAY_DRAIN_DELAY", default=3, least=0)
GATEWAY_DRAIN_TIMEOUT = env.seconds("GATEWAY_DRAIN_TIMEOUT", default=30, least=0)
GATEWAY_WORKERS = 1  # how many processes serve; each of several is told
GATEWAY_UPSTREAM_TRANSPORT = env.choice(
    "GATEWAY_UPSTREAM_TRANSPORT", {"native": "native", "aiohttp": "aiohttp", "httpx": "httpx"}, "native"
)
GATEWAY_ALLOWED_UPSTREAM_ADDRESSES: list[Network] = env.read("GATEWAY_ALLOWED_UPSTREAM_ADDRESSES", networks, [])
GATEWAY_MEDIA_FETCH = env.flag("GATEWAY_MEDIA_FETCH", True)
GATEWAY_MEDIA_ALLOW: list[Network] = env.read("GATEWAY_MEDIA_ALLOW", networks, [])
GATEWAY_MEDIA_MAX_BYTES = env.read("GATEWAY_MEDIA_MAX_BYTES", size, 20 * 2**20)
GATEWAY_HOOKS: list[str] = env.read("GATEWAY_HOOKS", split, [])
GATEWAY_HOOK_ADDRESSES: list[Network] = env.read("GATEWAY_HOOK_ADDRESSES", networks, [])
GATEWAY_PRICES_FILE = env.read("GATEWAY_PRICES_FILE", lambda text: Path(text).expanduser().absolute(), None)
GATEWAY_LOG_BUFFER_BYTES = env.read("GATEWAY_LOG_BUFFER_BYTES", size, 64 * 2**20)
GATEWAY_SPOOL_DIR: Path = env.read("GATEWAY_SPOOL_DIR", place, GATEWAY_DATA_DIR / "spool")
GATEWAY_SPOOL_CAP_BYTES = env.read("GATEWAY_SPOOL_CAP_BYTES", size, 2**30)
GATEWAY_TELL_ADMISSION = env.flag("GATEWAY_TELL_ADMISSION")
GATEWAY_SPOOL_FSYNC = env.flag("GATEWAY_SPOOL_FSYNC")
GATEWAY_SPOOL_FULL = env.choice("GATEWAY_SPOOL_FULL", {"refuse": "refuse", "serve": "serve"}, "refuse")
GATEWAY_DATABASE_AWAY_SECONDS = env.seconds("GATEWAY_DATABASE_AWAY_SECONDS", default=0, least=0)
GATEWAY_USAGE_DAYS = env.read("GATEWAY_USAGE_DAYS", days, 0)
GATEWAY_COMPILED = env.flag("GATEWAY_COMPILED")  # read before all others, so from the environment alone
GATEWAY_DRAIN_PROCESS = env.flag("GATEWAY_DRAIN_PROCESS")  # "serve" starts one, and says so to its workers
globals().update(env.read("GATEWAY_EMAIL_URL", mail, {"EMAIL_TIMEOUT": SECONDS}))
DEFAULT_FROM_EMAIL = env.text("GATEWAY_EMAIL_FROM", default="llm-gateway@localhost")
GATEWAY_LOG_LEVEL = env.choice("LLM_GATEWAY_LOG_LEVEL", LEVELS, "info")
GATEWAY_VENDORS = vendors(env)
GATEWAY_DEFAULT_VENDOR = default_vendor(env, GATEWAY_VENDORS)
DEBUG = env.flag("GATEWAY_DEBUG")
GATEWAY_UNKNOWN_VARIABLES = env.unknown()

if GATEWAY_PUBLIC_URL.count("/") > 2:
    raise Refused(f"GATEWAY_PUBLIC_URL: {GATEWAY_PUBLIC_URL!r} has a path; the gateway lives at the root of its host.")

# Django
INSTALLED_APPS = [
    "daphne",  # before staticfiles: runserver is Daphne's
    "unfold",  # before admin: its templates win
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_prometheus",
    "rest_framework",
    "channels",
    "providers",
    "tenants",
    "routing",
    "gateway_project",
]
if sys.argv[1:2] == ["serve"]:
    INSTALLED_APPS.remove("daphne")  # the app is runserver's; it would cost every worker 18 MB
MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "gateway_project.pages.ContentSecurityPolicy",
    "gateway_project.pages.StaticFiles",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "routing.revision.ActorMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]
ROOT_URLCONF = "gateway_project.urls"
ASGI_APPLICATION = "gateway_project.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    # What all workers must agree on. `migrate` makes its table.
    "shared": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "gateway_shared_cache"},
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True  # straight from the packages: nothing to collect, nothing to forget
WHITENOISE_ALLOW_ALL_ORIGINS = False
LOGGING = logging_config(GATEWAY_LOG_LEVEL)
REST_FRAMEWORK = {"TEST_REQUEST_DEFAULT_FORMAT": "json"}  # the API's own rules are in routing.api_guard
UNFOLD = THEME | {"LOGIN": {"form": "gateway_project.throttle.LoginForm"}}

# Who may enter, and how
AUTHENTICATION_BACKENDS = ["gateway_project.throttle.ThrottledBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "admin:login"
SESSION_COOKIE_NAME = "gateway_session"  # on localhost, cookies of all ports are one jar
SESSION_COOKIE_AGE = 7 * 24 * 3600
SESSION_COOKIE_SAMESITE = "Lax"
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
globals().update(GATEWAY_ADDRESS.django())
LOGIN_REDIRECT_URL = "admin:index"
