"""`gconvtool bench`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gconvtool.cli import amounts, baselines, config, console, failing, measuring, options, outlets
from gconvtool.cli.entry import Entry
from gconvtool.errors import InputError

if TYPE_CHECKING:
    from gconvtool.pipeline.baseline import Baseline
    from gconvtool.pipeline.gates import Gates
    from gconvtool.recipes import Recipe
    from gconvtool.results.bench import Timed

REPORT = "report"
"""In place of a model: judge what was saved, and run nothing."""
JUDGING = {
    "models", "min_speedup", "max_slowdown", "max_p95", "max_relative_error", "min_agreement",
    "max_accuracy_drop", "max_size", "on_inconclusive", "format", "output", "force", "ci", "json",
}  # fmt: skip
"""Parameters that mean something where nothing is run."""
BUDGET_S, CI_BUDGET_S = 60.0, 30.0

Models = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="MODEL",
        help="One ONNX file to time, two to compare, more to rank; or `report SAVED.json`.",
    ),
]
FitData = Annotated[
    str | None,
    typer.Option(
        "--fit-data",
        metavar="PATH",
        help="What to fit a conversion to; a part of --data if not given.",
    ),
]
Calibrate = Annotated[
    bool,
    typer.Option("--calibrate", help="Time A against itself: what can be told apart here?"),
]
Threads = Annotated[
    str | None,
    typer.Option("--threads", metavar="T[,T...]", help="Threads for onnxruntime; 1,2 is a grid."),
]
Batch = Annotated[
    str, typer.Option("--batch", metavar="N[,N...]", help="Samples a run; 1,8,32 is a grid.")
]
TimeBudget = Annotated[
    float | None,
    typer.Option(
        "--time-budget", metavar="SECONDS", min=1, help="Seconds to time for: 60, with --ci 30."
    ),
]
Layers = Annotated[bool, typer.Option("--layers", help="Say where the time goes, by layer.")]
Memory = Annotated[bool, typer.Option("--memory", help="Measure the peak memory of each model.")]
MinSpeedup = Annotated[
    float | None,
    typer.Option(
        "--min-speedup",
        metavar="FACTOR",
        min=0,
        help="A gate: exit 1 unless B is this many times faster.",
    ),
]
MaxSlowdown = Annotated[
    float | None,
    typer.Option(
        "--max-slowdown",
        metavar="FACTOR",
        min=0,
        help="A gate: B may be so many times slower, 1.05 for example.",
    ),
]
MaxP95 = Annotated[
    float | None, typer.Option("--max-p95", metavar="MS", min=0, help="A gate for B's p95.")
]
MaxSize = Annotated[
    str | None, typer.Option("--max-size", metavar="SIZE", help="A gate for B's file: 5MB.")
]
SaveBaseline = Annotated[
    str | None,
    typer.Option("--save-baseline", metavar="FILE", help="Keep the comparison as JSON."),
]
Earlier = Annotated[
    str | None,
    typer.Option(
        "--baseline",
        metavar="FILE",
        help="A kept comparison: exit 1 if B has lost speed-up since.",
    ),
]
HostMismatch = Annotated[
    Literal["warn", "fail"],
    typer.Option(
        "--host-mismatch",
        metavar="WHAT",
        help="Of a baseline from another machine: warn, or fail with exit 4.",
    ),
]


def bench(
    context: typer.Context,
    models: Models = None,
    groups: options.Groups = None,
    separable: options.SeparableFlag = False,
    rank: options.Rank = None,
    recipe: options.RecipeText = None,
    data: measuring.Data = None,
    fit_data: FitData = None,
    calibrate: Calibrate = False,
    batch: Batch = "1",
    threads: Threads = None,
    dim: options.Dims = None,
    input_shape: options.InputShapes = None,
    time_budget: TimeBudget = None,
    layers: Layers = False,
    memory: Memory = False,
    provider: measuring.Provider = None,
    provider_option: measuring.ProviderOptions = None,
    session_option: measuring.SessionOptions = None,
    strict_provider: measuring.Strict = None,
    min_speedup: MinSpeedup = None,
    max_slowdown: MaxSlowdown = None,
    max_p95: MaxP95 = None,
    max_relative_error: measuring.MaxRelativeError = None,
    min_agreement: measuring.MinAgreement = None,
    max_accuracy_drop: measuring.MaxAccuracyDrop = None,
    max_size: MaxSize = None,
    on_inconclusive: measuring.Inconclusive = None,
    save_baseline: SaveBaseline = None,
    baseline: Earlier = None,
    host_mismatch: HostMismatch = "warn",
    format: measuring.Format = None,
    output: measuring.Outputs = None,
    force: measuring.Force = False,
    ci: measuring.Ci = False,
    seed: options.Seed = 0,
    scale: options.Scale = 1.0,
    mean: options.Mean = "0",
    std: options.Std = "1",
    layout: options.Layout = None,
    json: options.Json = False,
) -> int:
    """Time networks: one by itself, two side by side, or several in a ranking."""
    settings = config.read(Path.cwd())
    limits = _gates(
        {
            "min_speedup": min_speedup,
            "max_slowdown": max_slowdown,
            "max_p95": max_p95,
            "max_relative_error": measuring.any_share("--max-relative-error", max_relative_error),
            "min_agreement": measuring.least_share("--min-agreement", min_agreement),
            "max_accuracy_drop": max_accuracy_drop,
        },
        max_size,
    )
    wanted = options.recipe(groups, separable, rank, recipe)
    names = _names(models, wanted, settings)
    sources = [*names, *filter(None, (baseline,))]
    undecided = on_inconclusive or "tell"
    chosen = outlets.choose(format, json, output or (), force, sources, ci=ci, undecided=undecided)
    with failing.written(chosen, "bench"):
        if names[0] == REPORT:
            return outlets.deliver(chosen, _again(names[1:], limits, context))
        options.finite("--time-budget", time_budget)
        entry = Entry(
            names,
            wanted,
            options.chosen("--fit-data", fit_data, None),
            calibrate,
            measuring.counts("--batch", batch, measuring.MOST_SAMPLES),
            measuring.threads(threads, settings.threads),
            measuring.sizes(dim, input_shape),
        )
        entry.check()
        earlier = _earlier(entry, baseline, host_mismatch, context)
        kept = baselines.target(save_baseline, force, sources)
        if kept is not None:
            entry.check_baseline()
        with console.progress("bench") as progress:
            result = entry.run(
                earlier,
                data=options.chosen("--data", data, settings.data),
                provider=provider or settings.provider or "cpu",
                provider_options=measuring.pairs("--provider-option", provider_option),
                session_options=measuring.pairs("--session-option", session_option),
                strict=strict_provider,
                time_budget_s=time_budget or (CI_BUDGET_S if ci else BUDGET_S),
                gates=limits,
                seed=seed,
                images=options.images(scale, mean, std, layout),
                layers=layers,
                memory=memory,
                progress=progress,
            )
    baselines.save(result, kept)
    return outlets.deliver(chosen, result)


def _names(
    models: Sequence[str] | None, recipe: Recipe | None, settings: config.Config
) -> tuple[str, ...]:
    """The models' files; those of the configuration where none is named."""
    if models:
        return tuple(options.required(name, "model", "name an ONNX file") for name in models)
    first = options.required(settings.model, "model", "name an ONNX file")
    return (first, settings.output) if settings.output and recipe is None else (first,)


def _gates(limits: Mapping[str, float | None], max_size: str | None) -> Gates:
    """What the options limit."""
    from gconvtool.pipeline.gates import Gates, option

    for name, limit in limits.items():
        options.finite(option(name), limit)
    size = None if max_size is None else amounts.file_size("--max-size", max_size)
    return Gates(**limits, max_size=size)


def _earlier(
    entry: Entry, file: str | None, mismatch: Literal["warn", "fail"], context: typer.Context
) -> Baseline | None:
    """The baseline, read before any work is done."""
    if options.chosen("--baseline", file, None) is None:
        if _typed(context, "host_mismatch"):
            raise InputError("--host-mismatch belongs to --baseline")
        return None
    entry.check_baseline()
    return baselines.read(file or "", mismatch)


def _again(names: Sequence[str], limits: Gates, context: typer.Context) -> Timed:
    """An earlier measurement, judged anew.

    Raises:
        InputError: it is none, or there are options that something is run with.
    """
    from gconvtool.pipeline import again

    if len(names) != 1:
        raise InputError("bench report: name one file that `gconvtool bench … --json` wrote")
    for parameter in context.command.params:
        if parameter.name not in JUDGING and _typed(context, parameter.name or ""):
            raise InputError(f"bench report runs nothing: leave out {parameter.opts[0]}")
    return again.redo_any(baselines.measured(names[0]), limits)


def _typed(context: typer.Context, name: str) -> bool:
    """Whether an option is on the command line, and not only in a file or a variable."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
