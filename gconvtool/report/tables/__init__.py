"""What tables hold, whatever they are printed on: columns of words and numbers, a function each."""

from gconvtool.report.tables.difference import changed_layers, changed_totals, kinds_beside
from gconvtool.report.tables.layers import layers, shown
from gconvtool.report.tables.machine import roofline
from gconvtool.report.tables.prospects import prospects, savings
from gconvtool.report.tables.table import Column, Table
from gconvtool.report.tables.totals import gates, kinds, models, sweep

__all__ = [
    "Column",
    "Table",
    "changed_layers",
    "changed_totals",
    "gates",
    "kinds",
    "kinds_beside",
    "layers",
    "models",
    "prospects",
    "roofline",
    "savings",
    "shown",
    "sweep",
]
