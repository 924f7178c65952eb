"""`gconvtool bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gconvtool.cli import config, console, options, verdict
from gconvtool.errors import InputError


def bench(
    a: Annotated[str | None, typer.Argument(metavar="A", help="An ONNX file.")] = None,
    b: Annotated[
        str | None, typer.Argument(metavar="B", help="The file to compare it with.")
    ] = None,
    groups: options.Groups = None,
    separable: options.SeparableFlag = False,
    rank: options.Rank = None,
    recipe: options.RecipeText = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="What to run both on, with labels for accuracy; random if not given.",
        ),
    ] = None,
    fit_data: Annotated[
        str | None,
        typer.Option(
            metavar="PATH", help="What to fit a conversion to; a part of --data if not given."
        ),
    ] = None,
    provider: Annotated[
        str | None, typer.Option(metavar="NAME", help="cpu or cuda; cpu if not given.")
    ] = None,
    threads: options.Threads = None,
    batch: Annotated[int, typer.Option(metavar="N", min=1, help="Samples a run.")] = 1,
    time_budget: Annotated[
        float, typer.Option("--time-budget", metavar="SECONDS", min=1, help="Seconds to time for.")
    ] = 60.0,
    min_speedup: Annotated[
        float | None,
        typer.Option(
            "--min-speedup",
            metavar="FACTOR",
            min=0,
            help="Exit 1 unless B is this many times faster.",
        ),
    ] = None,
    max_accuracy_drop: Annotated[
        float | None,
        typer.Option(
            "--max-accuracy-drop",
            metavar="POINTS",
            min=0,
            help="Exit 1 if B loses more points of top-1.",
        ),
    ] = None,
    seed: options.Seed = 0,
    dim: options.Dims = None,
    scale: options.Scale = 1.0,
    mean: options.Mean = "0",
    std: options.Std = "1",
    layout: options.Layout = None,
    json: options.Json = False,
) -> int:
    """Compare two networks: drift, then latency."""
    from gconvtool.pipeline import compare
    from gconvtool.report import document, terminal

    settings = config.read(Path.cwd())
    options.finite("--time-budget", time_budget)
    options.finite("--min-speedup", min_speedup)
    options.finite("--max-accuracy-drop", max_accuracy_drop)
    wanted = options.recipe(groups, separable, rank, recipe)
    if wanted is not None and b is not None:
        raise InputError("two models and a recipe: leave out B, or the recipe")
    if wanted is None and fit_data is not None:
        raise InputError("--fit-data belongs to a recipe: --groups G, --separable or --recipe")
    first = options.required(a or settings.model, "model", "name an ONNX file")
    second = b or (settings.output if a is None and wanted is None else None)
    if second is None and wanted is None:
        raise InputError(
            "nothing to compare with: name a second model, or a recipe such as --groups 4"
        )
    with console.progress("bench") as progress:
        result = compare.bench(
            first,
            second,
            recipe=wanted,
            data=options.chosen("--data", data, settings.data),
            fit_data=options.chosen("--fit-data", fit_data, None),
            provider=provider or settings.provider or "cpu",
            threads=threads or settings.threads,
            batch=batch,
            time_budget_s=time_budget,
            gates=compare.Gates(min_speedup, max_accuracy_drop),
            seed=seed,
            dims=options.dims(dim),
            images=options.images(scale, mean, std, layout),
            progress=progress,
        )
    if json:
        console.answer(document.comparison(result))
    else:
        console.show(terminal.comparison_page(result))
    console.warn([*result.warnings, *result.judgement.warnings, *result.measurement.warnings])
    return verdict.exit_code(result.gates)
