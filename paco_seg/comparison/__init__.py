"""Comparisons of training systems: cells, studies, what they leave behind, reports and pictures.

Sits above ``paco_seg.seg`` and ``paco_seg.cls`` and runs them by their command line only: every
training is ``python -m paco_seg train ...``. A reader starts at :mod:`.suites`, which states as
data what is compared, and follows :mod:`.study` (systems x search x seeds), :mod:`.runner` (cells,
one after the other), :mod:`.collect` and :mod:`.report`.
"""
