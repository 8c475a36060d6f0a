"""Recipes: typed descriptions of training runs, and what runs them."""

from textdiff.recipe.loading import load_recipe
from textdiff.recipe.recipe import DataConfig, Recipe, TokenizerConfig
from textdiff.recipe.running import run_recipe

__all__ = ["DataConfig", "Recipe", "TokenizerConfig", "load_recipe", "run_recipe"]
