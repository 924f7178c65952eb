"""`gconvtool analyze`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gconvtool.cli import amounts, config, console, options
from gconvtool.errors import InputError

if TYPE_CHECKING:
    from gconvtool.budgets import Limits
    from gconvtool.pipeline.source import Feed
    from gconvtool.pipeline.study import Peaks, Questions
    from gconvtool.recipes import Recipe
    from gconvtool.results import Failed, Study

GATE_FAILED, CANNOT_TELL = 1, 3

Models = Annotated[
    list[str] | None,
    typer.Argument(metavar="MODEL...", help="ONNX files, or folders of them; two are compared."),
]
Sweep = Annotated[
    list[str] | None,
    typer.Option("--sweep", metavar="DIMS=SIZES", help="Totals by size: H,W=112,160,224."),
]
WhatIf = Annotated[
    list[str] | None,
    typer.Option("--what-if", metavar="RECIPE", help="groups=4, separable:rank=2 or gdc."),
]
Explain = Annotated[
    list[str] | None,
    typer.Option("--explain", metavar="NAME", help="A layer's formulas with their numbers."),
]
PeakGflops = Annotated[
    float | None,
    typer.Option("--peak-gflops", metavar="X", help="The machine's arithmetic, for the roofline."),
]
Bandwidth = Annotated[
    float | None,
    typer.Option("--bandwidth", metavar="X", help="The machine's memory, in GB/s."),
]
MeasurePeaks = Annotated[
    bool, typer.Option("--measure-peaks", help="Measure both on this machine.")
]
Convention = Annotated[
    str, typer.Option("--convention", metavar="NAME", help="macs or flops, in tables.")
]
Baseline = Annotated[
    str | None,
    typer.Option("--baseline", metavar="FILE", help="An earlier analysis, as JSON."),
]
MaxIncrease = Annotated[
    list[str] | None,
    typer.Option("--max-increase", metavar="LIMITS", help="A gate: macs=2%,params=0."),
]
MaxMacs = Annotated[
    str | None, typer.Option("--max-macs", metavar="N", help="A gate: 300M, for example.")
]
MaxParams = Annotated[
    str | None, typer.Option("--max-params", metavar="N", help="A gate: 5M, for example.")
]
MaxPeakMemory = Annotated[
    str | None,
    typer.Option("--max-peak-memory", metavar="SIZE", help="A gate for activations: 20MB."),
]
Format = Annotated[
    str | None,
    typer.Option("--format", metavar="NAME", help="table, json, csv, markdown, github, junit."),
]
Output = Annotated[
    str | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write there instead of on stdout."),
]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing file.")]


def analyze(
    models: Models = None,
    dim: options.Dims = None,
    input_shape: options.InputShapes = None,
    sweep: Sweep = None,
    what_if: WhatIf = None,
    explain: Explain = None,
    peak_gflops: PeakGflops = None,
    bandwidth: Bandwidth = None,
    measure_peaks: MeasurePeaks = False,
    convention: Convention = "macs",
    baseline: Baseline = None,
    max_increase: MaxIncrease = None,
    max_macs: MaxMacs = None,
    max_params: MaxParams = None,
    max_peak_memory: MaxPeakMemory = None,
    format: Format = None,
    output: Output = None,
    force: Force = False,
    json: options.Json = False,
) -> int:
    """Count what convolutions cost, layer by layer."""
    from gconvtool.cli import faces
    from gconvtool.pipeline import study
    from gconvtool.pipeline.source import Feed

    settings = config.read(Path.cwd())
    names = models or [options.required(settings.model, "model", "name an ONNX file")]
    face = faces.choose(format, json, output, convention)
    target = faces.target(output, force, names)
    limits = _limits(
        settings.analyze, max_macs, max_params, max_peak_memory, max_increase, baseline
    )
    questions = study.Questions(
        what_if=_recipes(what_if),
        sweep=tuple(amounts.axis("--sweep", word) for word in sweep or ()),
        peaks=_peaks(peak_gflops, bandwidth, measure_peaks),
        explain=tuple(explain or ()),
        limits=limits,
    )
    feed = Feed(dims=options.dims(dim), input_shapes=options.input_shapes(input_shape))
    results = _answers(names, feed, questions)
    paired = len(names) == 2 and not any(Path(name).is_dir() for name in names)
    faces.show(face, faces.answer(results, paired), target)
    return _judge(results)


def _answers(names: Sequence[str], feed: Feed, questions: Questions) -> tuple[Study | Failed, ...]:
    """One model's answer, or its error; of several, each one's own."""
    from gconvtool.pipeline import study

    if len(names) == 1 and not Path(names[0]).is_dir():
        return (study.study(names[0], feed, questions),)
    with console.progress("analyze") as progress:
        return study.studies(names, feed, questions, progress)


def _limits(
    settings: config.Budgets,
    max_macs: str | None,
    max_params: str | None,
    max_peak_memory: str | None,
    max_increase: Sequence[str] | None,
    baseline: str | None,
) -> Limits:
    """The command line's limits; those that it does not name are the file's."""
    from gconvtool.budgets import Limits
    from gconvtool.cli.baseline import totals

    words = {
        "macs": max_macs or settings.max_macs,
        "params": max_params or settings.max_params,
        "peak_memory": max_peak_memory or settings.max_peak_memory,
    }
    read = {"macs": amounts.count, "params": amounts.count, "peak_memory": amounts.size_bytes}
    most = {
        figure: read[figure](f"--max-{figure.replace('_', '-')}", word)
        for figure, word in words.items()
        if word is not None
    }
    told = max_increase or ([settings.max_increase] if settings.max_increase else None)
    growth = amounts.increases("--max-increase", told)
    old = options.chosen("--baseline", baseline, settings.baseline)
    if growth and old is None:
        raise InputError("--max-increase needs a --baseline, an earlier analysis as JSON")
    return Limits(most, growth, None if old is None else totals(old))


def _recipes(words: Sequence[str] | None) -> tuple[Recipe, ...]:
    from gconvtool.recipes import parse

    return tuple(parse(word) for word in words or ())


def _peaks(gflops: float | None, bandwidth: float | None, measure: bool) -> Peaks | None:
    """The machine's limits, as given or as measured."""
    from gconvtool.pipeline import study

    for option, value in (("--peak-gflops", gflops), ("--bandwidth", bandwidth)):
        options.finite(option, value)
        if value is not None and value <= 0:
            raise InputError(f"{option} {value:g}: more than 0 is needed")
    if measure and (gflops or bandwidth):
        raise InputError("--measure-peaks excludes --peak-gflops and --bandwidth")
    if measure:
        return study.measure_peaks()
    if gflops is None and bandwidth is None:
        return None
    if gflops is None or bandwidth is None:
        raise InputError("--peak-gflops and --bandwidth belong together; or use --measure-peaks")
    return study.Peaks(gflops, bandwidth)


def _judge(results: Sequence[Study | Failed]) -> int:
    """Warnings and failures on stderr, and the exit code."""
    from gconvtool.results import Failed

    several = len(results) > 1
    failed = [result for result in results if isinstance(result, Failed)]
    for result in results:
        if isinstance(result, Failed):
            console.fail(result.message)
            continue
        name = f"{result.analysis.model}: " if several else ""
        console.warn(name + warning for warning in result.analysis.warnings)
    answers = {
        gate.passed for result in results if not isinstance(result, Failed) for gate in result.gates
    }
    if failed:
        return InputError.exit_code
    return GATE_FAILED if False in answers else CANNOT_TELL if None in answers else 0
