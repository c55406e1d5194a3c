"""Routes of deployments; those of the gateway are declared in ``gateway.routes``."""

from __future__ import annotations

from tunery.platform.http import Call, Limit, Offset, route
from tunery.serving import operations
from tunery.serving.gateway import routes as _gateway_routes  # noqa: F401 importing declares them
from tunery.serving.operations import deployment_view
from tunery.serving.schemas import DeploymentCreate, DeploymentView

__all__: list[str] = []


@route("deployments.create", "POST", "/deployments", permission="deployments:create", status=201)
def create_deployment(call: Call, body: DeploymentCreate) -> DeploymentView:
    """Deploy a version under a name, or point that name at another version once it answers."""
    return deployment_view(operations.deploy_version(call.session, call.ground, call.actor, body))


@route("deployments.list", "GET", "/deployments", permission="deployments:read")
def list_deployments(call: Call, limit: Limit = 50, offset: Offset = 0) -> list[DeploymentView]:
    """List deployments with what they serve and how they are."""
    return call.page(operations.list_deployments(call.session, limit, offset), deployment_view)


@route("deployments.get", "GET", "/deployments/{name}", permission="deployments:read")
def get_deployment(call: Call, name: str) -> DeploymentView:
    """Show a deployment."""
    return deployment_view(operations.get_deployment(call.session, name))


@route("deployments.delete", "DELETE", "/deployments/{name}", permission="deployments:delete")
def delete_deployment(call: Call, name: str) -> DeploymentView:
    """Take a deployment away; it answers no more."""
    return deployment_view(operations.delete_deployment(call.session, call.actor, name))
