# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of Kaggle's baselines."""

import numpy as np
import pytest
from PIL import Image

from galmorph.training.evaluation.baselines import (
    CentralPixelBaseline,
    central_colours,
    kaggle_baselines,
)


def draw_pictures(n=40, side=64, seed=0):
    """Pictures whose red centre tells their label."""
    rng = np.random.default_rng(seed)
    red = rng.random(n)
    pictures = rng.integers(0, 255, (n, side, side, 3), np.uint8)
    middle = slice(side // 2 - 2, side // 2 + 2)
    pictures[:, middle, middle] = 30
    pictures[:, middle, middle, 0] = (255 * red[:, None, None]).astype(int)
    return list(pictures), np.stack([red, 1 - red], 1)


class TestColours:
    @pytest.mark.parametrize('side', [64, 106, 212, 424])
    def test_takes_the_middle_of_a_frame(self, side):
        picture = np.zeros((side, side, 3), np.uint8)
        half = max(round(5 * side / 424), 1)
        middle = slice(side // 2 - half, side // 2 + half)
        picture[middle, middle] = [255, 102, 51]
        assert central_colours([picture])[0] == pytest.approx([1, 0.4, 0.2])

    def test_patch_has_ten_of_424_pixels(self):
        picture = np.zeros((424, 424, 3), np.uint8)
        picture[207:217, 207:217] = 255
        assert central_colours([picture]).tolist() == [[1, 1, 1]]
        picture[206] = picture[217] = 0
        picture[207, 207:217] = 0
        assert central_colours([picture])[0] == pytest.approx(0.9)

    def test_reads_files(self, tmp_path):
        Image.new('RGB', (64, 64), (255, 0, 51)).save(tmp_path / 'a.png')
        assert central_colours([tmp_path / 'a.png']).tolist() == [[1, 0, 0.2]]

    def test_one_band(self):
        with pytest.raises(ValueError, match='image 0 has 1 bands'):
            central_colours([np.zeros((64, 64))])


class TestCentralPixel:
    def test_mean_labels_of_a_colour(self):
        baseline = CentralPixelBaseline(n_level=2)
        colours = [[0.1, 0.1, 0.1], [0.3, 0.2, 0.1], [0.9, 0.1, 0.1]]
        baseline.fit(colours, [[0.2, np.nan], [0.4, 0.5], [1.0, np.nan]])
        answers = baseline.predict([[0.4, 0.4, 0.4], [0.6, 0, 0], [1, 1, 0.2]])
        # where a colour has no label, that of all; the nearest of unseen colours
        assert answers == pytest.approx(np.array([[0.3, 0.5], [1, 0.5], [1, 0.5]]))

    def test_learns_what_the_colour_tells(self):
        pictures, values = draw_pictures()
        answers = kaggle_baselines(
            values[:30], 10, images=pictures[:30], test_images=pictures[30:]
        )
        errors = {
            name: np.sqrt(np.mean((array - values[30:]) ** 2))
            for name, array in answers.items()
        }
        assert errors['central pixel'] < 0.1 < errors['mean'] < errors['zeros']


class TestKaggle:
    def test_the_mean_is_the_best_constant(self):
        rng = np.random.default_rng(1)
        values = rng.random((50, 4))
        values[rng.random(values.shape) < 0.3] = np.nan
        mean = kaggle_baselines(values, 2)['mean']
        assert mean == pytest.approx(np.tile(np.nanmean(values, 0), (2, 1)))

    def test_an_answer_that_is_never_known_is_zero(self):
        answers = kaggle_baselines([[0.5, np.nan]], 1)
        assert answers['mean'].tolist() == [[0.5, 0]]

    def test_wrong_number_of_pictures(self):
        with pytest.raises(ValueError, match='images has 1 pictures of 2 galaxies'):
            kaggle_baselines(np.ones((2, 3)), 1, images=['a'], test_images=['b'])
