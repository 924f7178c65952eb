"""`gconvtool verify`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from gconvtool.cli import config, failing, measuring, options, outlets
from gconvtool.errors import InputError

Models = Annotated[
    list[str] | None,
    typer.Argument(metavar="A B", help="The ONNX file to compare with, and the other one."),
]
MaxAbs = Annotated[
    float | None,
    typer.Option("--max-abs", metavar="X", min=0, help="A gate: no value differs by more."),
]
MinSnr = Annotated[
    float | None,
    typer.Option("--min-snr", metavar="DB", help="A gate: the SNR of every output, in dB."),
]


def verify(
    models: Models = None,
    data: measuring.Data = None,
    max_abs: MaxAbs = None,
    max_relative_error: measuring.MaxRelativeError = None,
    min_snr: MinSnr = None,
    min_agreement: measuring.MinAgreement = None,
    max_accuracy_drop: measuring.MaxAccuracyDrop = None,
    on_inconclusive: measuring.Inconclusive = None,
    provider: measuring.Provider = None,
    provider_option: measuring.ProviderOptions = None,
    session_option: measuring.SessionOptions = None,
    strict_provider: measuring.Strict = None,
    threads: options.Threads = None,
    seed: options.Seed = 0,
    dim: options.Dims = None,
    input_shape: options.InputShapes = None,
    scale: options.Scale = 1.0,
    mean: options.Mean = "0",
    std: options.Std = "1",
    layout: options.Layout = None,
    format: measuring.Format = None,
    output: measuring.Outputs = None,
    force: measuring.Force = False,
    ci: measuring.Ci = False,
    json: options.Json = False,
) -> int:
    """Compare what comes out of two networks, output by output."""
    from gconvtool.pipeline import compare
    from gconvtool.pipeline.tolerances import Tolerances

    settings = config.read(Path.cwd())
    a, b = _two(models, settings)
    options.finite("--max-abs", max_abs)
    options.finite("--min-snr", min_snr)
    options.finite("--max-accuracy-drop", max_accuracy_drop)
    undecided = on_inconclusive or "tell"
    chosen = outlets.choose(format, json, output or (), force, (a, b), ci=ci, undecided=undecided)
    with failing.written(chosen, "verify"):
        result = compare.verify(
            a,
            b,
            tolerances=Tolerances(
                max_abs,
                measuring.any_share("--max-relative-error", max_relative_error),
                min_snr,
                measuring.least_share("--min-agreement", min_agreement),
                max_accuracy_drop,
            ),
            data=options.chosen("--data", data, settings.data),
            provider=provider or settings.provider or "cpu",
            provider_options=measuring.pairs("--provider-option", provider_option),
            session_options=measuring.pairs("--session-option", session_option),
            strict=strict_provider,
            threads=threads or settings.threads,
            seed=seed,
            dims=options.dims(dim),
            input_shapes=options.input_shapes(input_shape),
            images=options.images(scale, mean, std, layout),
        )
    return outlets.deliver(chosen, result)


def _two(models: Sequence[str] | None, settings: config.Config) -> tuple[str, str]:
    """The models' files; those of the configuration where none is named."""
    names = models or [name for name in (settings.model, settings.output) if name]
    if len(names) != 2 or not all(names):
        raise InputError("verify compares two models: name A and B, or set them in pyproject.toml")
    return names[0], names[1]
