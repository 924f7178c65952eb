"""`gconvtool convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gconvtool.cli import config, console, options
from gconvtool.errors import InputError


def convert(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="An ONNX file.")] = None,
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="FILE", help="Where to write.")
    ] = None,
    groups: options.Groups = None,
    separable: options.SeparableFlag = False,
    rank: options.Rank = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="What to fit to: .npz, .npy, a folder (of images too), module:object.",
        ),
    ] = None,
    test_data: Annotated[
        str | None,
        typer.Option(
            metavar="PATH", help="What to judge by; the unused part of --data if not given."
        ),
    ] = None,
    samples: Annotated[
        int,
        typer.Option(
            metavar="N", min=2, help="How many samples of --data to use; a fifth is held out."
        ),
    ] = 256,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Rewrite only convolutions with names like this glob."),
    ] = None,
    skip: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Leave convolutions with names like this glob alone."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done; fit and write nothing.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an output that exists.")] = False,
    seed: options.Seed = 0,
    threads: options.Threads = None,
    dim: options.Dims = None,
    input_shape: options.InputShapes = None,
    scale: options.Scale = 1.0,
    mean: options.Mean = "0",
    std: options.Std = "1",
    layout: options.Layout = None,
    json: options.Json = False,
) -> int:
    """Rewrite convolutions into cheaper, fitted ones."""
    from gconvtool.pipeline.convert import convert as rewrite
    from gconvtool.report import document, terminal

    settings = config.read(Path.cwd())
    source = options.required(model or settings.model, "model", "name an ONNX file")
    recipe = options.recipe(groups, separable, rank)
    if recipe is None:
        raise InputError("no recipe: give --groups G or --separable [--rank R]")
    target = output or settings.output
    if not dry_run:
        options.required(target, "output", "give -o FILE")
    with console.progress("fitting") as progress:
        result = rewrite(
            source,
            target,
            recipe=recipe,
            data=options.chosen("--data", data, settings.data),
            test_data=options.chosen("--test-data", test_data, None),
            samples=samples,
            only=only or (),
            skip=skip or (),
            dry_run=dry_run,
            force=force,
            seed=seed,
            threads=threads or settings.threads,
            dims=options.dims(dim),
            input_shapes=options.input_shapes(input_shape),
            images=options.images(scale, mean, std, layout),
            progress=progress,
        )
    if json:
        console.answer(document.conversion(result))
    else:
        console.show(terminal.conversion_page(result))
    console.warn(result.warnings)
    return 0
