"""A small project with PostgreSQL, whose app queries it before any process is forked."""

import os

import django

SECRET_KEY = "tests"
USE_TZ = True
DEBUG = False
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "urls"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "gopher.integrations.django",
    "shop",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
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
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ["SHOP_DATABASE"],
        "USER": "postgres",
        "HOST": os.environ["SHOP_DATABASE_HOST"],
        # The worst for a worker: a connection is kept for ever.
        "CONN_MAX_AGE": None,
    }
}
GOPHER = {
    "REDIS_URL": os.environ["SHOP_REDIS_URL"],
    "NAMESPACE": os.environ["SHOP_NAMESPACE"],
    "WORKER_CONCURRENCY": 3,
    "DASHBOARD_URL": "https://jobs.shop.example/dashboard",
}
if "SHOP_WRONG" in os.environ:
    GOPHER[os.environ["SHOP_WRONG"]] = "many"
if django.VERSION >= (6,):
    TASKS = {
        "default": {
            "BACKEND": "gopher.integrations.django.backend.GopherBackend",
            "QUEUES": ["default", "mail"],
            "OPTIONS": {"max_retries": 1, "backoff": "constant"},
        }
    }
