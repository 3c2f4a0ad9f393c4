"""A link to Gopher's dashboard in Django's admin, if GOPHER has a DASHBOARD_URL."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from .models import Dashboard
from .project import dashboard_url


@admin.register(Dashboard)
class DashboardAdmin(admin.ModelAdmin):
    """Leads to the dashboard instead of a list."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(dashboard_url()) and super().has_module_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if not self.has_module_permission(request) or not self.has_view_permission(request):
            from django.core.exceptions import PermissionDenied

            raise PermissionDenied
        return HttpResponseRedirect(dashboard_url())
