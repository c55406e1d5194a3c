"""The part of OpenAI's request bodies that every engine answers. Unknown fields are refused, never passed on.

Source: OpenAI API reference, "Create chat completion" and "Create completion".
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from tunery.errors import MalformedRequest
from tunery.kit.faults import fault_line, faults_of

__all__ = ["ChatBody", "CompletionBody", "Message", "ScoreBody", "read_body"]

Stop = Annotated[str, Field(min_length=1, max_length=256)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class StreamOptions(_Strict):
    """What a stream carries besides text."""

    include_usage: bool = Field(False, description="Send the token counts in a last chunk of their own.")


class TextPart(_Strict):
    """One piece of a message; pieces other than text are refused."""

    type: Literal["text"]
    text: str


class Message(_Strict):
    """One turn of a conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]
    name: str | None = None

    def plain(self) -> dict[str, str]:
        """Return role and text as chat templates take them."""
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


class _Body(_Strict):
    model: str | None = Field(None, description="Chosen before the engine is asked; ignored here.")
    max_tokens: int | None = Field(
        None,
        ge=1,
        validation_alias=AliasChoices("max_tokens", "max_completion_tokens"),
        description="Longest answer in tokens; the rest of the context where it is not given.",
    )
    temperature: float | None = Field(None, ge=0, le=2, description="0 is greedy; 1 where it is not given.")
    top_p: float | None = Field(None, gt=0, le=1, description="Share of the probability that is sampled from.")
    seed: int | None = Field(None, ge=0, lt=2**63, description="Makes sampling repeatable.")
    stop: Stop | Annotated[list[Stop], Field(max_length=16)] | None = Field(
        None, description="Texts that end the answer; they are not part of it."
    )
    stream: bool | None = Field(None, description="Send the answer piece by piece as server-sent events.")
    stream_options: StreamOptions | None = None
    n: Literal[1] | None = Field(None, description="Answers per request; only one is offered.")
    presence_penalty: float | None = Field(None, ge=0, le=0, description="Only 0 is offered.")
    frequency_penalty: float | None = Field(None, ge=0, le=0, description="Only 0 is offered.")
    user: str | None = Field(None, description="Ignored here.")
    metadata: dict[str, Any] | None = Field(None, description="Ignored here.")

    @property
    def stops(self) -> list[str]:
        """The stop texts as a list."""
        return [self.stop] if isinstance(self.stop, str) else list(self.stop or ())


class ChatBody(_Body):
    """Body of ``POST /v1/chat/completions``."""

    messages: list[Message] = Field(min_length=1, max_length=4096)
    logprobs: Literal[False] | None = Field(None, description="Not offered.")


class CompletionBody(_Body):
    """Body of ``POST /v1/completions``."""

    prompt: str = Field(description="Text to go on with; a control token that it spells is text too.")
    echo: Literal[False] | None = Field(None, description="Not offered.")

    @field_validator("prompt")
    @classmethod
    def _not_empty(cls, prompt: str) -> str:
        if not prompt:
            raise ValueError("must not be empty")
        return prompt


class ScoreBody(_Strict):
    """Body of ``POST /score``: how likely is this completion after that prompt, or after that conversation?"""

    prompt: str | None = Field(None, description="Text before the completion; the default is none.")
    messages: list[Message] | None = Field(None, min_length=1, description="Conversation before it, by the template.")
    completion: str = Field(min_length=1, description="The text whose tokens are scored.")

    @model_validator(mode="after")
    def _one_prompt(self) -> ScoreBody:
        if self.prompt is not None and self.messages is not None:
            raise ValueError("give either prompt or messages")
        return self


AnyBody = TypeVar("AnyBody", bound=_Strict)


def read_body(shape: type[AnyBody], body: dict[str, Any]) -> AnyBody:
    """Check a body from outside. Raises: MalformedRequest: names every field at fault."""
    try:
        return shape.model_validate(body)
    except ValidationError as fault:
        faults = faults_of(fault.errors(), shape, body)
        text = "; ".join(map(fault_line, faults[:10]))
        raise MalformedRequest(f"the request cannot be answered: {text}", param=faults[0]["path"] or "body") from None
