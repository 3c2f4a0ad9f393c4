"""The row "Dashboard" in Django's admin: a model without a table."""

from django.db import models


class Dashboard(models.Model):
    """Gopher's dashboard. Users with the permission `gopher.view_dashboard` see the link."""

    class Meta:
        """Nothing is stored."""

        managed = False
        app_label = "gopher"
        default_permissions = ("view",)
        verbose_name = "dashboard"
        verbose_name_plural = "dashboard"
