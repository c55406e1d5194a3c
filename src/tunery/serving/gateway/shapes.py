"""What OpenAPI says of the gateway's requests and answers. Source: OpenAI API reference, chat, completions, models."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from tunery.inference.schemas import ChatBody, CompletionBody

__all__ = ["ChatAnswer", "ChatRequest", "ModelEntry", "ModelList", "TextAnswer", "TextRequest"]

_MODEL = Field(description="Name of the deployment that shall answer; `GET /v1/models` lists them.")


class ChatRequest(ChatBody):
    """What a deployment is asked in a conversation."""

    model: str = _MODEL


class TextRequest(CompletionBody):
    """What text a deployment is to go on with."""

    model: str = _MODEL


class Usage(BaseModel):
    """Tokens that were read and written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatTurn(BaseModel):
    """What the model said."""

    role: Literal["assistant"]
    content: str | None


class ChatChoice(BaseModel):
    """The answer, and why it ended."""

    index: int
    message: ChatTurn
    finish_reason: str | None = Field(description="stop, or length where the tokens were used up.")


class TextChoice(BaseModel):
    """The text, and why it ended."""

    index: int
    text: str
    finish_reason: str | None = Field(description="stop, or length where the tokens were used up.")


class _Answer(BaseModel):
    id: str
    created: int = Field(description="Seconds since 1970.")
    model: str = Field(description="The version that answered.")
    usage: Usage


class ChatAnswer(_Answer):
    """A whole answer of a conversation."""

    object: Literal["chat.completion"]
    choices: list[ChatChoice]


class TextAnswer(_Answer):
    """A whole text."""

    object: Literal["text_completion"]
    choices: list[TextChoice]


class ModelEntry(BaseModel):
    """A deployment that answers."""

    id: str = Field(description="What a request names as its model.")
    object: Literal["model"]
    created: int = Field(description="Seconds since 1970.")
    owned_by: str = Field(description="The tenant.")


class ModelList(BaseModel):
    """The deployments that answer."""

    object: Literal["list"]
    data: list[ModelEntry]
