"""The course of a run: its log read back, and pictures of it. Needs no torch, and matplotlib only to draw."""

from textdiff.curves.drawing import draw_noise, draw_runs
from textdiff.curves.history import History, Scored, read_history
from textdiff.curves.keeping import CurveKeeper
from textdiff.curves.noise import NoiseCurve, NoisePoint, read_noise, write_noise
from textdiff.curves.panels import Curve, Panel, Point, draw_panels
from textdiff.curves.pictures import FORMATS, MISSING, can_draw, save_picture
from textdiff.curves.runs import Run, differences, open_runs

__all__ = [
    "FORMATS",
    "MISSING",
    "Curve",
    "CurveKeeper",
    "History",
    "NoiseCurve",
    "NoisePoint",
    "Panel",
    "Point",
    "Run",
    "Scored",
    "can_draw",
    "differences",
    "draw_noise",
    "draw_panels",
    "draw_runs",
    "open_runs",
    "read_history",
    "read_noise",
    "save_picture",
    "write_noise",
]
