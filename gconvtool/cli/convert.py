"""`gconvtool convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from gconvtool.cli import amounts, config, console, options
from gconvtool.results import FITS, Fit
from gconvtool.spellings import Spelling


def convert(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="An ONNX file.")] = None,
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="FILE", help="Where to write.")
    ] = None,
    groups: options.Groups = None,
    separable: options.SeparableFlag = False,
    rank: options.Rank = None,
    gdc: Annotated[
        bool,
        typer.Option(
            "--gdc",
            help="Rewrite layers over a whole feature map, fully connected ones too, into sums of "
            "(global depthwise → pointwise) convolutions.",
        ),
    ] = False,
    recipe: options.RecipeText = None,
    plan: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Do as an earlier plan says, site by site."),
    ] = None,
    save_plan: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write what was done as a plan, to edit and repeat."),
    ] = None,
    max_drop: Annotated[
        str | None,
        typer.Option(
            metavar="LOSS",
            help="Search for the fastest recipes that lose no more: 1% (points of accuracy, or of "
            "top-1 agreement without labels), 0.5dB (PSNR against targets), 0.02 (relative output "
            "error). Without a recipe, 1%.",
        ),
    ] = None,
    min_snr: Annotated[
        str | None,
        typer.Option(metavar="RATIO", help="The same, for outputs this near the original's: 30dB."),
    ] = None,
    min_speedup: Annotated[
        str | None,
        typer.Option(metavar="FACTOR", help="Search for the least loss at this speed-up: 2."),
    ] = None,
    max_macs: Annotated[
        str | None,
        typer.Option(
            metavar="MACS", help="Search for the least loss at so many MACs: 50% or 300M."
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="FUNCTION",
            help="module:function that scores outputs, of which --max-drop limits the loss: 0.01, "
            "or 1% of the original's score. It is given outputs by name, and labels or None.",
        ),
    ] = None,
    objective: Annotated[
        Literal["latency", "macs", "params", "size"] | None,
        typer.Option(help="What a search makes small: latency on this machine if not given."),
    ] = None,
    allow_over: Annotated[
        bool,
        typer.Option(
            "--allow-over", help="Write what a search found, though it is over the limit."
        ),
    ] = False,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Do all anew, whatever was kept of earlier searches.")
    ] = False,
    exact: Annotated[
        bool,
        typer.Option(
            "--exact", help="Find what the weights hide: dead channels, groups, low rank."
        ),
    ] = False,
    densify: Annotated[
        bool, typer.Option("--densify", help="Write the zeros between groups out.")
    ] = False,
    gap_to_gdc: Annotated[
        bool,
        typer.Option("--gap-to-gdc", help="Global averages become global depthwise convolutions."),
    ] = False,
    gdc_to_gap: Annotated[
        Literal["exact", "lossy"] | None,
        typer.Option(
            "--gdc-to-gap",
            help="The other way; --gdc-to-gap=lossy leaves the weights out, and says what is lost.",
        ),
    ] = None,
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
        int | None,
        typer.Option(
            metavar="N",
            min=2,
            help="How many samples of --data to use, 256 if not given; a fifth is held out.",
        ),
    ] = None,
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
    fit: Annotated[
        Fit | None,
        typer.Option(
            help="What to fit to: what flows in the converted or in the original network, or the "
            "weights alone; the best of them if not given."
        ),
    ] = None,
    max_layer_error: Annotated[
        str | None,
        typer.Option(
            metavar="SHARE",
            help="Leave layers dense that would miss more of their output's variance; 50% if there "
            "are data.",
        ),
    ] = None,
    passes: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, max=2, help="2 refines all new weights together in the end."
        ),
    ] = 1,
    spelling: Annotated[
        Spelling | None,
        typer.Option(help="How branches are written; split is for targets without groups."),
    ] = None,
    max_memory: Annotated[
        str, typer.Option(metavar="SIZE", help="For statistics and activations; the rest spills.")
    ] = "2GB",
    seed: Annotated[
        int | None,
        typer.Option(metavar="S", min=0, help="Decides samples and searches; 0 if not given."),
    ] = None,
    threads: options.Threads = None,
    provider: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What the result is checked on, and a search times on; cpu if not given.",
        ),
    ] = None,
    dim: options.Dims = None,
    input_shape: options.InputShapes = None,
    scale: options.Scale = 1.0,
    mean: options.Mean = "0",
    std: options.Std = "1",
    layout: options.Layout = None,
    json: options.Json = False,
) -> int:
    """Rewrite convolutions into cheaper, fitted ones."""
    from gconvtool import goals
    from gconvtool.pipeline.convert import convert as rewrite
    from gconvtool.report import document, terminal

    settings = config.read(Path.cwd())
    source = options.required(model or settings.model, "model", "name an ONNX file")
    wanted = options.recipe(groups, separable, rank, recipe, gdc)
    limits = {
        "max_drop": max_drop,
        "min_snr": min_snr,
        "min_speedup": min_speedup,
        "max_macs": max_macs,
        "objective": objective,
        "metric": metric,
    }
    searched = any(said is not None for said in limits.values())
    target = output or settings.output
    if not dry_run:
        options.required(target, "output", "give -o FILE")
    with console.progress("converting") as progress:
        result = rewrite(
            source,
            target,
            recipe=wanted,
            plan=options.chosen("--plan", plan, None),
            save_plan=options.chosen("--save-plan", save_plan, None),
            goal=goals.goal(**limits) if searched else None,
            allow_over=allow_over,
            remember=not no_cache,
            exact=exact,
            densify=densify,
            gap_to_gdc=gap_to_gdc,
            gdc_to_gap=gdc_to_gap,
            data=options.chosen("--data", data, settings.data),
            test_data=options.chosen("--test-data", test_data, None),
            samples=samples,
            only=only or (),
            skip=skip or (),
            dry_run=dry_run,
            force=force,
            fits=FITS if fit is None else (fit,),
            max_layer_error=None
            if max_layer_error is None
            else amounts.share("--max-layer-error", max_layer_error),
            passes=passes,
            spelling=spelling,
            max_memory=amounts.memory("--max-memory", max_memory),
            seed=seed,
            threads=threads or settings.threads,
            provider=provider or settings.provider or "cpu",
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
    over = result.planning is not None and not result.planning.holds
    return 1 if over and not allow_over else 0
