"""/dashboard/tenants: whose jobs wait and run, and what each tenant gets."""

from flask import Response, request
from gopher.app import flow as api_flow
from gopher.app.context import gopher
from werkzeug.wrappers import Response as BaseResponse

from gopher.jobs.filters import TenantRequest

from .acts import act, filled
from .frame import blueprint, done, filters, page


@blueprint.get("/tenants")
def tenants() -> Response:
    filters()
    return page("tenants.html", tenants=gopher().flow.tenants())


@blueprint.post("/tenants/set")
def set_tenant() -> BaseResponse:
    tenant = _tenant()
    act(api_flow.set_tenant, sent=filled(TenantRequest), tenant=tenant)
    return done(f"Tenant {tenant} updated. It also applies to waiting jobs.")


@blueprint.post("/tenants/clear")
def clear_tenant() -> BaseResponse:
    tenant = _tenant()
    act(api_flow.clear_tenant, tenant=tenant)
    return done(f"Nothing is set for the tenant {tenant} any more.")


def _tenant() -> str:
    return request.form.get("tenant", "").strip()
