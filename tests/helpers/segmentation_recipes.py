"""The table of segmentation recipes, expanded, and the configs it speaks of."""

import yaml
from helpers.resolved_configs import CONFIGS, ROOT, load_config  # noqa: F401

TABLE = yaml.safe_load((ROOT / 'tests/configs/recipes_seg.yaml').read_text(encoding='utf-8'))


def merge(*tables):
    """Later tables win; dicts merge key by key."""
    merged = {}
    for table in tables:
        for key, value in table.items():
            both = isinstance(value, dict) and isinstance(merged.get(key), dict)
            merged[key] = merge(merged[key], value) if both else value
    return merged


def expand(recipe):
    if 'like' in recipe:
        recipe = merge(next(r for r in TABLE['recipes'] if r['id'] == recipe['like']), recipe)
    return merge(
        TABLE['common'],
        TABLE['benchmarks'][recipe['benchmark']],
        TABLE['models'].get(recipe.get('model'), {}),
        recipe,
    )


RECIPES = [expand(recipe) for recipe in TABLE['recipes']]
