# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the record of how weights want their pixels."""

import dataclasses
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from galmorph.preprocessing.geometry import apply_affine
from galmorph.preprocessing.recipe import Recipe
from galmorph.preprocessing.sizes import GalaxySize

GREY = {
    'bands': ('F160W',),
    'unit': 'nJy',
    'stretch': 'hst',
    'mean': (0.5,),
    'std': (0.25,),
    'surface_brightness': (1.0,),
}


class TestValues:
    def test_galaxy_zoo_2_is_the_default(self):
        recipe = Recipe()
        assert (recipe.frame_size, recipe.frame_scale) == (424, 0.02)
        assert recipe.bands == ('i', 'r', 'g')
        assert recipe.size == 'petroR90_r'

    def test_is_frozen(self):
        with pytest.raises(dataclasses.FrozenInstanceError):
            Recipe().step = 2

    @pytest.mark.parametrize(
        ('options', 'message'),
        [
            ({'step': 0}, 'step must be positive, not 0'),
            ({'step': 'wide'}, "step must be a finite number, not 'wide'"),
            ({'frame_scale': float('nan')}, 'frame_scale must be a finite number'),
            ({'frame_scale': float('inf')}, 'frame_scale must be a finite number'),
            ({'frame_size': 424.5}, 'frame_size must be a whole number, not 424.5'),
            ({'output_size': -69}, 'output_size must be positive'),
            ({'pixel_area': -1}, 'pixel_area must be positive'),
            ({'antialias': -0.1}, 'antialias must not be negative, but is -0.1'),
            ({'bands': ('g', 'r')}, r"one or three bands .* not \('g', 'r'\)"),
            ({'bands': 'gri'}, 'one value a band'),
            ({'bands': (1, 2, 3)}, 'bands must be a sequence of strings'),
            ({'bands': 3}, 'bands must be a sequence of strings'),
            ({'views': ()}, 'at least one view'),
            ({'views': (None,)}, 'views must be a sequence of finite numbers'),
            ({'mean': (0, 0)}, 'mean must have one value a band'),
            ({'std': (1, 0, 1)}, r'std must be positive, not \(1.0, 0.0, 1.0\)'),
            ({'surface_brightness': (1, -1, 1)}, 'surface_brightness must be pos'),
            ({'stretch': 'log'}, "no stretch 'log'"),
            ({'unit': 'apples'}, "unit must be one that astropy reads, not 'apples'"),
            ({'unit': 3}, 'unit must be a string, not 3'),
        ],
    )
    def test_values_without_meaning(self, options, message):
        with pytest.raises(ValueError, match=message):
            Recipe(**options)

    def test_one_band(self):
        assert Recipe(**GREY).bands == ('F160W',)
        assert Recipe(**{**GREY, 'bands': 'F160W'}) == Recipe(**GREY)


class TestRecord:
    @pytest.mark.parametrize(
        'options', [{}, GREY, {'views': (0, 30, 60)}, {'recentre': True}]
    )
    @pytest.mark.parametrize(
        'through',
        [
            lambda record: json.loads(json.dumps(record)),
            lambda record: yaml.safe_load(yaml.safe_dump(record)),
        ],
        ids=['json', 'yaml'],
    )
    def test_round_trip(self, options, through):
        recipe = Recipe(**options)
        again = Recipe.from_dict(through(recipe.to_dict()))
        assert again == recipe
        assert again.hash == recipe.hash
        assert hash(again) == hash(recipe)

    def test_a_part_takes_the_defaults(self):
        assert Recipe.from_dict({}) == Recipe()
        assert Recipe.from_dict({'step': 2}).step == 2

    def test_unknown_keys(self):
        with pytest.raises(ValueError, match=r"a recipe has no \['colour', 'zoom'\]"):
            Recipe.from_dict({'zoom': 1, 'colour': 2, 'step': 3})

    def test_copies(self):
        recipe = Recipe(views=(0,))
        _ = recipe.output_to_frame
        assert pickle.loads(pickle.dumps(recipe)) == recipe
        assert (
            dataclasses.replace(recipe, views=(0, 45.0)).output_to_frame.shape[0] == 2
        )


class TestHash:
    def test_is_the_same_everywhere(self):
        # What the cards of published weights were written with.
        assert Recipe().hash == '9af431200e8fb5b3'
        code = 'from galmorph import Recipe; print(Recipe().hash)'
        found = subprocess.run(
            [sys.executable, '-c', code],
            check=True, capture_output=True, text=True,
            env={'PYTHONHASHSEED': '7', 'PYTHONPATH': ':'.join(sys.path)},
        )  # fmt: skip
        assert found.stdout.strip() == Recipe().hash

    def test_equal_recipes_have_one_hash(self):
        written = Recipe(
            step=3, views=[0, 45], mean=np.zeros(3, int), frame_size=424.0,
            bands=['i', 'r', 'g'], pixel_area=np.float64(0.396127**2),
        )  # fmt: skip
        assert written == Recipe()
        assert written.hash == Recipe().hash

    @given(
        st.sampled_from(
            [f.name for f in dataclasses.fields(Recipe) if f.type in (float, int)]
        )
    )
    def test_any_change_changes_it(self, name):
        changed = dataclasses.replace(Recipe(), **{name: 2 * getattr(Recipe(), name)})
        assert changed != Recipe()
        assert changed.hash != Recipe().hash

    def test_a_recipe_that_recentres_has_another(self):
        assert Recipe(recentre=True).hash != Recipe().hash


class TestGrids:
    def test_centre_spacing_and_angle(self):
        recipe = Recipe(step=2.5, output_size=64, views=(0, 30), antialias=0)
        grids = recipe.output_to_frame
        assert grids.shape == (2, 3, 3)
        for grid, angle in zip(grids, (0, 30), strict=True):
            np.testing.assert_allclose(
                apply_affine(grid, 31.5, 31.5), (0, 0), atol=1e-12
            )
            expected = 2.5 * np.cos(np.radians(angle)), 2.5 * np.sin(np.radians(angle))
            np.testing.assert_allclose(apply_affine(grid, 32.5, 31.5), expected)


class TestSize:
    MEASURED = GalaxySize(0, 0, petro_radius=9, petro_r50=4, petro_r90=10)

    def test_petrosian(self):
        recipe = Recipe()
        assert recipe.radius_of(self.MEASURED) == 10
        assert recipe.radius90 == 1

    def test_half_light(self):
        recipe = Recipe(size='half_light_radius')
        assert recipe.radius_of(self.MEASURED) == 4
        assert recipe.radius90 == pytest.approx(2.3)

    def test_others_are_refused(self):
        with pytest.raises(ValueError, match=r"one of \['half_light.*not 'D25'"):
            Recipe(size='D25')
