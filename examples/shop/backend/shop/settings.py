"""Settings, all from the environment.

With DATABASE_HOST set this is production: PostgreSQL, HTTPS only, secrets required.
Without it, development and tests: SQLite in a file beside manage.py.
"""

from __future__ import annotations

from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.core.management.utils import get_random_secret_key

from . import environment as env

BASE_DIR = Path(__file__).resolve().parent.parent
PRODUCTION = bool(env.text("DATABASE_HOST"))
DEBUG = env.flag("SHOP_DEBUG")

SECRET_KEY = env.secret("SECRET_KEY")
if not SECRET_KEY:
    if PRODUCTION:
        raise ImproperlyConfigured("Set SECRET_KEY, or SECRET_KEY_FILE to a file that holds it.")
    SECRET_KEY = get_random_secret_key()

# Requests. TLS ends at the server's Nginx, which tells us the client's scheme; a request that
# came over plain HTTP is redirected, so health checks have to send X-Forwarded-Proto: https.
ALLOWED_HOSTS = env.items("ALLOWED_HOSTS")
if not PRODUCTION:
    ALLOWED_HOSTS += ["localhost", "127.0.0.1", "[::1]"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = env.flag("SECURE_SSL_REDIRECT", default=PRODUCTION)
CORS_ALLOWED_ORIGINS = env.items("CORS_ALLOWED_ORIGINS")

ROOT_URLCONF = "shop.urls"
WSGI_APPLICATION = "shop.wsgi.application"
INSTALLED_APPS = ["catalog", "orders"]
# No sessions, no cookies, no templates: nothing for CSRF to forge, and few steps a request.
MIDDLEWARE = [
    "shop.middleware.identify",
    "django.middleware.security.SecurityMiddleware",
    "shop.middleware.share_with_origins",
]
SILENCED_SYSTEM_CHECKS = [
    "security.W002",  # an API is not shown in frames
    "security.W003",  # CSRF: see above
    "security.W004",  # HSTS is the server's Nginx's to say
]

if PRODUCTION:
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": env.text("DATABASE_HOST"),
            "PORT": env.text("DATABASE_PORT", "5432"),
            "NAME": env.text("DATABASE_NAME", "shop"),
            "USER": env.text("DATABASE_USER", "shop"),
            "PASSWORD": env.secret("DATABASE_PASSWORD"),
            # A connection per thread is kept; one that PostgreSQL closed is noticed and replaced.
            "CONN_MAX_AGE": env.number("DATABASE_CONN_MAX_AGE", 600),
            "CONN_HEALTH_CHECKS": True,
            "OPTIONS": {
                "connect_timeout": 5,
                "application_name": f"shop {env.text('RONDO_SLOT', 'local')}",
                "options": "-c statement_timeout=15s -c lock_timeout=10s",
            },
        }
    }
else:
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": env.text("SQLITE_PATH", str(BASE_DIR / "shop.sqlite3")),
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                "init_command": "PRAGMA journal_mode=WAL;",
            },
        }
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

USE_TZ = True
TIME_ZONE = "UTC"
USE_I18N = False

# The shop
SHOP_CURRENCY = "EUR"
SHOP_SHIPPING = 490
SHOP_FREE_SHIPPING_FROM = 10000
# A load test must not run out of stock, nor make every order wait for the same row.
SHOP_UNLIMITED_STOCK = env.flag("SHOP_UNLIMITED_STOCK")
# Slow answers and uploads on demand, to see what a release does to requests in flight.
SHOP_DRILLS = env.flag("SHOP_DRILLS")
STATS_TOKEN = env.secret("STATS_TOKEN")

LOG_DIR = env.text("LOG_DIR")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "shop.logs.JSONFormatter"}},
    "handlers": {
        "stdout": {
            "class": "logging.StreamHandler",
            "stream": "ext://sys.stdout",
            "formatter": "json",
        },
    },
    "root": {"handlers": ["stdout"], "level": env.text("LOG_LEVEL", "INFO").upper()},
    # Django's own handlers would say everything twice.
    "loggers": {"django": {"handlers": [], "level": "INFO", "propagate": True}},
}
if LOG_DIR:
    LOGGING["handlers"]["file"] = {
        "class": "shop.logs.SharedRotatingHandler",
        "filename": str(Path(LOG_DIR) / f"{env.text('RONDO_SLOT', 'shop')}.log"),
        "max_bytes": env.number("LOG_MAX_BYTES", 10_000_000),
        "keep": env.number("LOG_KEEP", 5),
        "formatter": "json",
    }
    LOGGING["root"]["handlers"].append("file")
