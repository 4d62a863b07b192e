"""Figures of a trained network, from its history and `objectives._diagnostics`: one file for each kind.

Each draws on axes that it is given. What is absent or undefined is left out, and axes that stay empty say why. No other
module imports Matplotlib for them.
"""
