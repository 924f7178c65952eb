"""Options of a session, by onnxruntime's own names for them.

onnxruntime takes any entry of its configuration and ignores what it does not know, names and values
alike: a misspelt option would measure the default. So names go by a list, and values are checked.
Those that would break what a measurement stands on (the number of threads, where outputs go, the
log) are not in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, TypeAlias

from gconvtool.errors import InputError

Read: TypeAlias = Callable[[str], Any]
"""A value as onnxruntime takes it; ValueError says what it should be."""

LEVEL, MODE = "graph_optimization_level", "execution_mode"
SPINNING = "session.intra_op.allow_spinning"
WITHOUT, LAYING_OUT = "optimization.disable_specified_optimizers", "NchwcTransformer"
FREE = "free_dimension_override."
"""What follows is the name of an open dimension: `free_dimension_override.N=8`."""
LEVELS = {
    "disabled": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "layout": "ORT_ENABLE_LAYOUT",
    "all": "ORT_ENABLE_ALL",
}
MODES = {"sequential": "ORT_SEQUENTIAL", "parallel": "ORT_PARALLEL"}


def apply(runtime: ModuleType, options: Any, settings: Mapping[str, str]) -> None:
    """Set what was asked for on a SessionOptions.

    Raises:
        InputError: there is no such option, or not such a value of it.
    """
    for name, value in settings.items():
        try:
            _apply(runtime, options, name, value)
        except ValueError as error:
            raise InputError(f"--session-option {name}={value}: {error}") from error


def lays_out(settings: Mapping[str, str]) -> bool:
    """Whether onnxruntime may change the layout of tensors, as it does unless told otherwise."""
    kept_out = settings.get(WITHOUT, "").split(";")
    return settings.get(LEVEL, "all") in ("layout", "all") and LAYING_OUT not in kept_out


def names() -> tuple[str, ...]:
    """What can be set."""
    return (LEVEL, MODE, *ATTRIBUTES, *ENTRIES, f"{FREE}NAME")


def _apply(runtime: ModuleType, options: Any, name: str, value: str) -> None:
    if name in ENTRIES:
        options.add_session_config_entry(name, ENTRIES[name](value))
    elif name in ATTRIBUTES:
        setattr(options, name, ATTRIBUTES[name](value))
    elif name == LEVEL:
        options.graph_optimization_level = _member(runtime.GraphOptimizationLevel, LEVELS, value)
    elif name == MODE:
        options.execution_mode = _member(runtime.ExecutionMode, MODES, value)
    elif name.startswith(FREE) and name != FREE:
        options.add_free_dimension_override_by_name(name.removeprefix(FREE), _positive(value))
    else:
        raise ValueError(f"no such option; there are {', '.join(names())}")


def _member(enumeration: Any, by_word: Mapping[str, str], value: str) -> Any:
    """A value of one of onnxruntime's enumerations; older ones lack some."""
    there = {word: name for word, name in by_word.items() if hasattr(enumeration, name)}
    return getattr(enumeration, there[_one_of(tuple(there))(value)])


def _one_of(words: tuple[str, ...]) -> Read:
    def read(value: str) -> str:
        if value not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return value

    return read


def _switch(value: str) -> bool:
    return bool(_flag(value) == "1")


def _positive(value: str) -> int:
    if not value.isdecimal() or not int(value):
        raise ValueError("a whole number above 0")
    return int(value)


def _count(value: str) -> str:
    return str(_positive(value))


def _optimisers(value: str) -> str:
    """Split at semicolons by onnxruntime: with commas there is one long name that nothing has."""
    if not re.fullmatch(r"\w+(;\w+)*", value):
        raise ValueError("names of optimisers, with semicolons between")
    return value


_flag = _one_of(("0", "1"))

ATTRIBUTES: Mapping[str, Read] = {
    "enable_cpu_mem_arena": _switch,
    "enable_mem_pattern": _switch,
    "enable_mem_reuse": _switch,
    "inter_op_num_threads": _positive,
    "use_deterministic_compute": _switch,
}
ENTRIES: Mapping[str, Read] = {
    SPINNING: _flag,
    "session.inter_op.allow_spinning": _flag,
    "session.force_spinning_stop": _flag,
    "session.dynamic_block_base": _count,
    "session.set_denormal_as_zero": _flag,
    "session.disable_prepacking": _flag,
    "session.use_device_allocator_for_initializers": _flag,
    "session.disable_quant_qdq": _flag,
    "session.disable_double_qdq_remover": _flag,
    "session.enable_quant_qdq_cleanup": _flag,
    "session.disable_aot_function_inlining": _flag,
    "session.qdqisint8allowed": _flag,
    "session.x64quantprecision": _flag,
    "optimization.enable_gelu_approximation": _flag,
    WITHOUT: _optimisers,
    "mlas.enable_gemm_fastmath_arm64_bfloat16": _flag,
}
"""Keys of onnxruntime_session_options_config_keys.h that change what is run or how."""
