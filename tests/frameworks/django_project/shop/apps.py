"""Queries the database as soon as it can, as many apps do."""

import sys

from django.apps import AppConfig


class ShopConfig(AppConfig):
    name = "shop"

    def ready(self):
        from django.db import connection

        if "migrate" not in sys.argv:
            connection.cursor().execute("SELECT 1")
