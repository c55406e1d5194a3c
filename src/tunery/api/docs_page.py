"""The interactive documentation, from files of this machine: a server without internet has it too."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

__all__ = ["DOCS_PATH", "mount_docs"]

DOCS_PATH = "/api/docs"
_ASSETS = f"{DOCS_PATH}/assets"


def mount_docs(app: FastAPI) -> None:
    """Mount Swagger UI with the files that the package ``fastapi-swagger`` carries."""
    app.mount(_ASSETS, StaticFiles(packages=[("fastapi_swagger", "resources")]), name="docs assets")

    def docs(_: Request) -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url=str(app.openapi_url),
            title=app.title,
            swagger_js_url=f"{_ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{_ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{_ASSETS}/favicon-32x32.png",
            swagger_ui_parameters={"filter": True, "docExpansion": "none", "displayRequestDuration": True},
        )

    def described() -> dict[str, Any]:
        document = FastAPI.openapi(app)
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
        return document

    app.add_route(DOCS_PATH, docs, include_in_schema=False)
    setattr(app, "openapi", described)  # noqa: B010  (the way FastAPI documents to extend the description)
