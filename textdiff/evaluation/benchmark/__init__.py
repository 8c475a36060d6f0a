"""Benchmarks: a suite of models, texts, metrics and samplers, measured cell by cell, and its report."""

from textdiff.evaluation.benchmark.comparing import Comparison, Difference, compare
from textdiff.evaluation.benchmark.generation import GenerationMetric
from textdiff.evaluation.benchmark.infill import InfillMetric
from textdiff.evaluation.benchmark.likelihood import EntropyMetric, NelboMetric
from textdiff.evaluation.benchmark.metric import BenchmarkMetric, Figure, Subject
from textdiff.evaluation.benchmark.records import CellResult, plain_figure
from textdiff.evaluation.benchmark.report import REPORT, Report, ReportCell, make_report, read_report
from textdiff.evaluation.benchmark.running import Models, find_cell, measure_cell, run_suite
from textdiff.evaluation.benchmark.settings import SamplerEntry, Setting
from textdiff.evaluation.benchmark.suite import Cell, Suite, load_suite
from textdiff.evaluation.benchmark.translation import TranslationMetric

__all__ = [
    "REPORT",
    "BenchmarkMetric",
    "Cell",
    "CellResult",
    "Comparison",
    "Difference",
    "EntropyMetric",
    "Figure",
    "GenerationMetric",
    "InfillMetric",
    "Models",
    "NelboMetric",
    "Report",
    "ReportCell",
    "SamplerEntry",
    "Setting",
    "Subject",
    "Suite",
    "TranslationMetric",
    "compare",
    "find_cell",
    "load_suite",
    "make_report",
    "measure_cell",
    "plain_figure",
    "read_report",
    "run_suite",
]
