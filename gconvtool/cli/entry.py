"""What `bench` was asked to measure, and which function of the pipeline answers that.

One model is timed by itself or against itself, two are compared, at several settings in a grid, and
more are ranked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gconvtool.errors import InputError

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from gconvtool.pipeline.baseline import Baseline
    from gconvtool.pipeline.sizes import Sizes
    from gconvtool.pipeline.terms import Options, Shared
    from gconvtool.recipes import Recipe
    from gconvtool.report.story import Measured


@dataclass(frozen=True)
class Entry:
    """Models, or a model and a recipe, and the settings to measure them at."""

    models: tuple[str, ...]
    recipe: Recipe | None
    fit_data: str | None
    calibrate: bool
    batches: tuple[int, ...]
    threads: tuple[int | None, ...]
    sizes: tuple[Sizes, ...]

    @property
    def pair(self) -> bool:
        """Whether it is one model against another one."""
        return not self.calibrate and len(self.models) + (self.recipe is not None) == 2

    @property
    def grid(self) -> bool:
        """Whether there are several settings."""
        return len(self.batches) * len(self.threads) * len(self.sizes) > 1

    def check(self) -> None:
        """Refuse what does not go together.

        Raises:
            InputError: something does not.
        """
        if self.recipe is not None and len(self.models) > 1:
            raise InputError("two models and a recipe: leave out B, or the recipe")
        if self.recipe is None and self.fit_data is not None:
            raise InputError("--fit-data belongs to a recipe: --groups G, --separable or --recipe")
        if self.calibrate and (len(self.models) > 1 or self.recipe is not None):
            raise InputError("--calibrate times one model against itself: name just one")
        if self.grid and not self.pair:
            raise InputError(
                "several of --batch, --threads, --dim or --input-shape compare two models: name "
                "A and B, or A and a recipe such as --groups 4"
            )

    def check_baseline(self) -> None:
        """Refuse baselines where there is not one comparison.

        Raises:
            InputError: there is none, or there are several.
        """
        if self.grid or not self.pair:
            raise InputError("baselines are for two models at one setting")

    def run(self, baseline: Baseline | None, **shared: Unpack[Shared]) -> Measured:
        """Measure it."""
        from gconvtool.pipeline import calibration, compare, grid, several, solo

        if self.calibrate:
            return calibration.calibrate(self.models[0], **self._setting(shared))
        if len(self.models) > 2:
            return several.rank(self.models, **self._setting(shared))
        if not self.pair:
            return solo.solo(self.models[0], **self._setting(shared))
        first, second = self.models[0], self.models[1] if self.recipe is None else None
        if self.grid:
            return grid.grid(
                first,
                second,
                batches=self.batches,
                threads=self.threads,
                shapes=self.sizes,
                recipe=self.recipe,
                fit_data=self.fit_data,
                **shared,
            )
        return compare.bench(
            first,
            second,
            recipe=self.recipe,
            fit_data=self.fit_data,
            baseline=baseline,
            **self._setting(shared),
        )

    def _setting(self, shared: Shared) -> Options:
        """All terms, where there is one setting."""
        sizes = self.sizes[0]
        return {
            **shared,
            "batch": self.batches[0],
            "threads": self.threads[0],
            "dims": sizes.dims,
            "input_shapes": sizes.input_shapes,
        }
