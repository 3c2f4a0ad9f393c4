"""Settings of the shop."""

import os

SECRET_KEY = os.environ.get("SECRET_KEY", "only for development")
ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "localhost,127.0.0.1").split(",")
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "gopher.integrations.django",
    "shop",
]
ROOT_URLCONF = "config.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ.get("DATABASE_NAME", "shop"),
        "HOST": os.environ.get("DATABASE_HOST", ""),
        "USER": os.environ.get("DATABASE_USER", ""),
        # For a job it means what it means for a request.
        "CONN_MAX_AGE": 60,
    }
}
GOPHER = {
    "REDIS_URL": os.environ.get("REDIS_URL"),
    "WORKER_CONCURRENCY": 2,
}
