"""Pipelines: recipes that are being carried out, or were."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunery.client.files import Files
from tunery.client.nouns import Noun, Page, view
from tunery.client.transport import Transport, path_of
from tunery.errors import InvalidInput
from tunery.pipelines.schemas import PipelinePlan, PipelineView

if TYPE_CHECKING:
    from tunery.pipelines.recipe import Recipe

__all__ = ["Pipelines", "WatchInput"]

WatchInput = Callable[[str, int, int], None]
"""Called with a local path of the recipe, the bytes sent and the bytes there are in all."""


class Pipelines(Noun):
    """The main job: one recipe turns a raw file into a proven, signed, served model."""

    def __init__(self, transport: Transport, files: Files) -> None:
        super().__init__(transport)
        self._files = files

    def plan(self, recipe: Recipe | Path | str, watch: WatchInput | None = None) -> PipelinePlan:
        """Tell what a recipe would do, how long and in how much memory; nothing is started.

        Raises:
            RecipeInvalid: All faults at once.
        """
        return view(PipelinePlan, self._send("POST", path_of("pipelines", "plan"), self._wish(recipe, watch)))

    def start(
        self, recipe: Recipe | Path | str, *, again: bool = False, watch: WatchInput | None = None
    ) -> PipelineView:
        """Start a recipe, or go on with it where it was left; what is finished is returned as it is.

        Args:
            recipe: A recipe, or the path of its file.
            again: Make a new pipeline even where this recipe ran on these inputs before.
            watch: Told of the progress of uploads.

        Raises:
            RecipeInvalid: All faults at once; nothing was started.
        """
        wish = self._wish(recipe, watch) | {"again": again}
        return view(PipelineView, self._send("POST", path_of("pipelines"), wish))

    def list(self, *, limit: int = 50, offset: int = 0) -> Page[PipelineView]:
        """List pipelines, the newest first."""
        return self._page(PipelineView, path_of("pipelines"), limit=limit, offset=offset)

    def get(self, pipeline_id: str) -> PipelineView:
        """Show a pipeline with its stages and its result."""
        return view(PipelineView, self._get(path_of("pipelines", pipeline_id)))

    def cancel(self, pipeline_id: str) -> PipelineView:
        """End the stage that runs; running the recipe again goes on from there."""
        return view(PipelineView, self._send("POST", path_of("pipelines", pipeline_id, "cancel")))

    def _wish(self, recipe: Recipe | Path | str, watch: WatchInput | None) -> dict[str, Any]:
        from tunery.pipelines.recipe import load_recipe

        loaded = load_recipe(Path(recipe)) if isinstance(recipe, str | Path) else recipe
        inputs = {path: self._upload(path, watch) for path in loaded.local_paths()}
        return {"recipe": loaded.plain(), "inputs": inputs}

    def _upload(self, name: str, watch: WatchInput | None) -> str | dict[str, str]:
        path = Path(name)

        def send(file: Path) -> str:
            return self._files.upload(file, partial(watch, str(file)) if watch else None).digest

        if path.is_dir():
            return {p.relative_to(path).as_posix(): send(p) for p in sorted(path.rglob("*")) if p.is_file()}
        if not path.is_file():
            raise InvalidInput(f"{path} is neither a file nor a folder")
        return send(path)
