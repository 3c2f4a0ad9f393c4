"""The Django app "gopher.integrations.django"."""

from django.apps import AppConfig
from django.core import checks

from gopher.integrations.project import submit_tasks_by


class GopherConfig(AppConfig):
    """Its label is "gopher"."""

    name = "gopher.integrations.django"
    label = "gopher"
    verbose_name = "Gopher"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from .checks import check_settings
        from .project import project

        checks.register(check_settings)
        submit_tasks_by(lambda: project.client)
