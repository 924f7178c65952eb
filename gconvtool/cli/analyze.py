"""`gconvtool analyze`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gconvtool.cli import amounts, config, console, options, verdict
from gconvtool.errors import InputError

if TYPE_CHECKING:
    from gconvtool.budgets import Limits
    from gconvtool.pipeline.source import Feed
    from gconvtool.pipeline.study import Peaks, Questions
    from gconvtool.recipes import Recipe
    from gconvtool.results import Failed, Study

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
    names = _named(models or [settings.model or ""])
    face = faces.choose(format, json, output, convention)
    target = faces.target(output, force, names)
    feed = Feed(dims=options.dims(dim), input_shapes=options.input_shapes(input_shape))
    given = _budgets(max_macs, max_params, max_peak_memory, max_increase, baseline)
    questions = study.Questions(
        what_if=_recipes(what_if or ()),
        sweep=amounts.axes("--sweep", sweep or ()),
        limits=_limits(given, settings.analyze),
        explain=tuple(dict.fromkeys(explain or ())),
        peaks=_peaks(peak_gflops, bandwidth, measure_peaks),
    )
    results = _answers(names, feed, questions)
    faces.show(face, faces.answer(results, names), target)
    return _judge(results, unseen=target is not None)


def _named(models: Sequence[str]) -> Sequence[str]:
    """Refuse an empty name: it would stand for the folder that one is in."""
    for name in models:
        options.required(name, "model", "name an ONNX file")
    return models


def _answers(names: Sequence[str], feed: Feed, questions: Questions) -> tuple[Study | Failed, ...]:
    """One model's answer, or its error; of several, each one's own."""
    from gconvtool.pipeline import study

    if len(names) == 1 and not Path(names[0]).is_dir():
        return (study.study(names[0], feed, questions),)
    with console.progress("analyze") as progress:
        return study.studies(names, feed, questions, progress)


def _budgets(
    max_macs: str | None,
    max_params: str | None,
    max_peak_memory: str | None,
    max_increase: Sequence[str] | None,
    baseline: str | None,
) -> config.Budgets:
    """What the command line says of budgets."""
    words = {"macs": max_macs, "params": max_params, "peak_memory": max_peak_memory}
    most = {
        figure: amounts.limit(f"--max-{figure.replace('_', '-')}", figure, word)
        for figure, word in words.items()
        if word is not None
    }
    growth = amounts.increases("--max-increase", max_increase or ())
    return config.Budgets(most, growth, options.chosen("--baseline", baseline, None))


def _limits(given: config.Budgets, configured: config.Budgets) -> Limits:
    """The limits in force, with the earlier analysis read if one is needed."""
    from gconvtool.budgets import Limits
    from gconvtool.cli.baseline import totals

    force = given.over(configured)
    if given.baseline is not None and not force.growth:
        raise InputError("--baseline needs a --max-increase, for example macs=2%,params=0")
    if not force.growth:
        return Limits(force.most)
    if force.baseline is None:
        raise InputError("--max-increase needs a --baseline, an earlier analysis as JSON")
    return Limits(force.most, force.growth, totals(force.baseline))


def _recipes(words: Sequence[str]) -> tuple[Recipe, ...]:
    """What to try, each once."""
    from gconvtool.notation import parse

    try:
        return tuple(dict.fromkeys(parse(word) for word in words))
    except InputError as error:
        raise InputError(f"--what-if {error}") from error


def _peaks(gflops: float | None, bandwidth: float | None, measure: bool) -> Peaks | None:
    """The machine's limits, as given or as measured."""
    from gconvtool.pipeline import study

    told = [rate for rate in (gflops, bandwidth) if rate is not None]
    if measure and told:
        raise InputError("--measure-peaks excludes --peak-gflops and --bandwidth")
    if measure:
        return study.measure_peaks()
    if gflops is None and bandwidth is None:
        return None
    if gflops is None or bandwidth is None:
        raise InputError("--peak-gflops and --bandwidth belong together; or use --measure-peaks")
    return study.Peaks(
        amounts.rate("--peak-gflops", gflops), amounts.rate("--bandwidth", bandwidth)
    )


def _judge(results: Sequence[Study | Failed], unseen: bool) -> int:
    """Warnings and failures on stderr, broken gates too if their page is unseen; the exit code."""
    from gconvtool.report import words
    from gconvtool.results import Failed

    for result in results:
        if isinstance(result, Failed):
            console.fail(" ".join(words.model_or_reason(result).split()))
            continue
        name = f"{result.analysis.model}: " if len(results) > 1 else ""
        console.warn(name + warning for warning in result.analysis.warnings)
        broken = [gate for gate in result.gates if gate.passed is not True]
        console.warn(name + words.gate(gate) for gate in broken if unseen)
    return _code(results)


def _code(results: Sequence[Study | Failed]) -> int:
    from gconvtool.results import Study

    studies = [result for result in results if isinstance(result, Study)]
    if len(studies) < len(results):
        return InputError.exit_code
    return verdict.exit_code(gate for study in studies for gate in study.gates)
