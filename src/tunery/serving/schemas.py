"""The recipe's section ``deployment``, and the shapes of deployments."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from tunery.errors import InvalidInput
from tunery.kit.references import check_name
from tunery.platform.http import Camel

__all__ = ["DeploymentCreate", "DeploymentSection", "DeploymentView"]


def _name(text: str) -> str:
    try:
        return check_name(text)
    except InvalidInput as fault:
        raise ValueError(fault.message) from fault


def _engine(name: str) -> str:
    from tunery.inference.ports import ENGINES

    if name not in ENGINES.names():
        raise ValueError(f"there is no engine {name!r}; known: {', '.join(ENGINES.names())}")
    return name


Name = Annotated[str, AfterValidator(_name)]
EngineName = Annotated[str, AfterValidator(_engine)]


class DeploymentSection(BaseModel):
    """The recipe's section ``deployment``. Source: R5, fine_tune_template.yaml; the last three are ours."""

    model_config = ConfigDict(extra="forbid")

    auto_deploy: bool = Field(False, description="Deploy the version once its gate has passed.")
    deployment_target: Literal["local"] = Field("local", description="Where it runs: `local`, on this machine.")
    health_check_enabled: bool = Field(True, description="Let the version answer one request before it is put live.")
    name: Name | None = Field(None, description="What requests send as `model`; the model's own name where not given.")
    environment: Name = Field("local", description="Label such as development, staging or production.")
    engine: EngineName | None = Field(None, description="Inference engine; the setting `engine` where not given.")


class DeploymentCreate(Camel):
    """A wish that a version answers under a name. A deployment of that name is pointed at the version."""

    version: str = Field(min_length=1, max_length=300, description="`name`, `name:1.0.0` or a version's id.")
    name: Name | None = Field(None, description="What requests send as `model`; the model's own name where not given.")
    environment: Name = Field("local", description="Label such as development, staging or production.")
    target: Literal["local"] = Field("local", description="Where it runs: `local`, on this machine.")
    engine: EngineName | None = Field(None, description="Inference engine; the setting `engine` where not given.")
    health_check_enabled: bool = Field(True, description="Let the version answer one request before it is put live.")


class DeploymentView(Camel):
    """A deployment: what it shall serve, how far that is, and what answers at this moment."""

    id: str
    name: str = Field(description="What requests send as `model`.")
    environment: str
    target: str
    engine: str
    version: str = Field(description="`name:version` that it shall serve.")
    version_digest: str = Field(description="SHA-256 of that version's manifest.")
    status: str = Field(
        description="`starting`, `ready`, `failed` or `stopped`, of that version; see `statusReason` for why."
    )
    status_reason: str | None
    served_version: str | None = Field(
        description="`name:version` that answers now; the earlier one while another starts, or where it failed."
    )
    template_digest: str | None = Field(description="SHA-256 of the chat template that shapes prompts.")
    endpoint: str = Field(description="Path of the OpenAI-compatible endpoint.")
    created_by: str
    created_at: datetime
    deployed_at: datetime | None = Field(description="When the served version began to answer.")
