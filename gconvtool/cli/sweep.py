"""`gconvtool sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from gconvtool.cli import config, console, options


def sweep(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="An ONNX file.")] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="What to fit to and to judge by: .npz, .npy, a folder (of images too), "
            "module:object.",
        ),
    ] = None,
    points: Annotated[
        int, typer.Option(metavar="N", min=1, max=50, help="How many conversions to make.")
    ] = 8,
    objective: Annotated[
        Literal["latency", "macs", "params", "size"],
        typer.Option(help="What is made small."),
    ] = "latency",
    plot: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Draw gains against losses: .png or .svg."),
    ] = None,
    write_all: Annotated[
        str | None,
        typer.Option("--write-all", metavar="DIR", help="Write all models and their plans there."),
    ] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Replace a picture, and what DIR holds of another sweep."),
    ] = False,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Do all anew, whatever was kept of earlier runs.")
    ] = False,
    test_data: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="What to judge by; --data if not given."),
    ] = None,
    samples: Annotated[
        int,
        typer.Option(metavar="N", min=2, help="How many samples of --data to use."),
    ] = 256,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Rewrite only convolutions with names like this glob."),
    ] = None,
    skip: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Leave convolutions with names like this glob alone."),
    ] = None,
    seed: options.Seed = 0,
    threads: options.Threads = None,
    provider: Annotated[
        str | None, typer.Option(metavar="NAME", help="What is timed on; cpu if not given.")
    ] = None,
    dim: options.Dims = None,
    input_shape: options.InputShapes = None,
    scale: options.Scale = 1.0,
    mean: options.Mean = "0",
    std: options.Std = "1",
    layout: options.Layout = None,
    json: options.Json = False,
) -> int:
    """Convert a network several times, from the least loss to the fastest, and measure each."""
    from gconvtool.pipeline.sweep import sweep as make
    from gconvtool.report import document, plots, terminal

    settings = config.read(Path.cwd())
    source = options.required(model or settings.model, "model", "name an ONNX file")
    seen = options.required(
        options.chosen("--data", data, settings.data), "data", "give --data PATH"
    )
    picture = options.chosen("--plot", plot, None)
    judged_by = options.chosen("--test-data", test_data, None)
    if picture is not None:
        sources = [Path(path) for path in (source, seen, judged_by) if path is not None]
        plots.require(Path(picture), sources, force)
    with console.progress("sweeping") as progress:
        result = make(
            source,
            data=seen,
            points=points,
            objective=objective,
            test_data=judged_by,
            samples=samples,
            only=only or (),
            skip=skip or (),
            write_all=options.chosen("--write-all", write_all, None),
            force=force,
            remember=not no_cache,
            seed=seed,
            threads=threads or settings.threads,
            provider=provider or settings.provider or "cpu",
            dims=options.dims(dim),
            input_shapes=options.input_shapes(input_shape),
            images=options.images(scale, mean, std, layout),
            progress=progress,
        )
    if picture is not None:
        plots.write(result, Path(picture))
    if json:
        console.answer(document.sweep(result))
    else:
        console.show(terminal.sweep_page(result))
    console.warn(result.warnings)
    return 0
