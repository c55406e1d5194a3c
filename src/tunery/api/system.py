"""Routes of the system itself: alive, ready, numbers, who am I."""

from __future__ import annotations

import structlog
from starlette.responses import PlainTextResponse, Response

import tunery
from tunery.api.schemas import SystemView
from tunery.errors import Forbidden, Unavailable
from tunery.identity.tables import Tenant
from tunery.platform.http import PUBLIC, Call, route
from tunery.platform.telemetry import render_metrics

__all__: list[str] = []
log = structlog.get_logger(__name__)


@route("system.live", "GET", "//healthz", permission=PUBLIC, scope="public")
def live(call: Call) -> Response:
    """Tell that the process answers."""
    return PlainTextResponse("ok\n")


@route("system.ready", "GET", "//readyz", permission=PUBLIC, scope="public")
def ready(call: Call) -> Response:
    """Tell that the database answers too."""
    try:
        call.ground.database.check()
    except Unavailable as error:
        log.error("the database does not answer", reason=error.message)
        raise Unavailable("the database does not answer") from error  # the reason names hosts and roles
    return PlainTextResponse("ready\n")


@route("system.metrics", "GET", "//metrics", permission="system:read")
def metrics(call: Call) -> Response:
    """Return all numbers in Prometheus' text format; for the operator, as they are of all tenants."""
    tenant = call.session.get(Tenant, call.actor.tenant_id)
    if tenant is None or not tenant.is_operator:
        raise Forbidden("the numbers are of all tenants; only the operator tenant may read them")
    return Response(render_metrics(), media_type="text/plain; version=0.0.4")


@route("system.get", "GET", "/system", permission="tokens:own", scope="self")
def system(call: Call) -> SystemView:
    """Show what is running here and who you are to it."""
    tenant = call.session.get(Tenant, call.actor.tenant_id)
    return SystemView(
        version=tunery.__version__,
        tenant=tenant.name if tenant else "",
        user=call.actor.name,
        roles=sorted(call.actor.roles),
        database="sqlite" if call.ground.settings.is_sqlite else "postgres",
        worker=call.services.get("worker") is not None,
    )
