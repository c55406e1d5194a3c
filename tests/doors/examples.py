"""Make a value that fits a JSON schema as OpenAPI states it, and look through such schemas."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def resolved(schema: Schema, document: dict[str, Any]) -> Schema:
    """Follow a reference. Raises: KeyError: it leads nowhere."""
    if "$ref" not in schema:
        return schema
    assert schema["$ref"].startswith("#/")
    found: Any = document
    for part in schema["$ref"][2:].split("/"):
        found = found[part]
    return dict(found)


def example(schema: Schema, document: dict[str, Any]) -> Any:
    """Return the smallest value that the schema allows: required fields alone, the first of several choices."""
    schema = resolved(schema, document)
    for key in ("const", "default"):
        if schema.get(key) is not None:
            return schema[key]
    if "enum" in schema:
        return schema["enum"][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return example(schema[key][0], document)
    match schema.get("type"):
        case "object":
            required = schema.get("required", [])
            return {name: example(schema["properties"][name], document) for name in required}
        case "array":
            return [example(schema["items"], document) for _ in range(schema.get("minItems", 0))]
        case "string":
            return "x" * max(1, schema.get("minLength", 1))
        case "integer" | "number":
            return schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
        case "boolean":
            return False
        case _:
            return None


def body_schema(operation: dict[str, Any], document: dict[str, Any]) -> Schema | None:
    """Return the schema of an operation's JSON body, if it takes one."""
    content = operation.get("requestBody", {}).get("content", {})
    return resolved(content["application/json"]["schema"], document) if "application/json" in content else None
