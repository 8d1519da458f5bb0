"""Rare class sampling as in the paper: one exponential per class."""

import math


def draw_probabilities(pixels, temperature):
    """P(c) of the classes that occur, from pixel counts."""
    shares = [count / sum(pixels) for count in pixels]
    terms = [math.exp((1.0 - share) / temperature) if share > 0 else 0.0 for share in shares]
    return [term / sum(terms) for term in terms]
