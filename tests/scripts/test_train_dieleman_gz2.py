# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the training script of ``dieleman.gz2``."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import norm

from galmorph.preprocessing import geometry
from galmorph.schemas import load_schema
from tests.helpers.modules import load_file

TREE = load_schema('gz2')


@pytest.fixture(scope='module')
def script():
    return load_file('scripts/train_dieleman_gz2.py')


def one_row(column, value):
    row = np.full((1, 37), np.nan, np.float32)
    row[0, TREE.source_columns.index(column)] = value
    return torch.from_numpy(row)


NOTHING = torch.full((1, 37), torch.nan)


class TestLoss:
    def test_unknown_answers_cost_nothing(self, script):
        path = torch.rand(1, 37, requires_grad=True)
        loss = script.loss_of(path, NOTHING, NOTHING)
        loss.backward()
        assert loss.item() == 0
        assert not path.grad.any()

    def test_a_known_fraction_costs_its_squared_error(self, script):
        path = torch.full((1, 37), 0.25)
        loss = script.loss_of(path, one_row('Class4.1', 0.75), NOTHING)
        assert loss.item() == pytest.approx(0.25 / 37)

    @pytest.mark.parametrize('value', [0.1, 0.5, 0.9])
    def test_a_bound_costs_the_likelihood_of_a_censored_value(self, script, value):
        path = torch.full((1, 37), value, dtype=torch.float64)
        loss = script.loss_of(path, NOTHING, one_row('Class7.1', 0.5))
        expected = -2 * 0.1**2 * norm.logcdf((value - 0.5) / 0.1) / 37
        assert loss.item() == pytest.approx(expected, rel=1e-6, abs=1e-9)

    def test_far_below_a_bound_the_gradient_is_that_of_the_squared_error(self, script):
        path = torch.full((1, 37), 0.05, dtype=torch.float64, requires_grad=True)
        script.loss_of(path, NOTHING, one_row('Class7.1', 0.5)).backward()
        index = TREE.source_columns.index('Class7.1')
        assert path.grad[0, index].item() == pytest.approx(
            2 * (0.05 - 0.5) / 37, rel=0.06
        )
        assert torch.count_nonzero(path.grad) == 1


class TestLabels:
    def test_a_class_bounds_only_galaxies_without_votes(self, script, tmp_path):
        header = ['GalaxyID', 'file', 'split', *TREE.source_columns, 'zhu5']
        blank = [''] * 37
        voted = ['0.5', '0.5', '0', *[''] * 34]
        rows = [
            ['1', 'a.jpg', 'train', *blank, '4'],
            ['2', 'b.jpg', 'train', *voted, '4'],
            ['3', 'c.jpg', 'train', *blank, ''],
        ]
        text = '\n'.join(','.join(row) for row in [header, *rows])
        (tmp_path / 'labels.csv').write_text(text)
        spiral, both, unknown = script.read_gz2(tmp_path)
        bounds = {
            TREE.source_columns[i]: round(float(spiral[3][i]), 3)
            for i in np.flatnonzero(np.isfinite(spiral[3]))
        }
        assert bounds == {'Class2.2': 0.715, 'Class4.1': 0.619}
        assert not np.isfinite(spiral[2]).any()
        assert not np.isfinite(both[3]).any()
        assert np.isfinite(both[2]).sum() == 3
        assert not np.isfinite(unknown[2:]).any()

    def test_stripe_82_fractions_become_path_probabilities(self, script, tmp_path):
        names = [f'{answer.id.replace(" ", "_")}_fraction' for answer in TREE.answers]
        conditional = np.zeros(37)
        for name, values in {
            'smooth_or_features': (0.2, 0.8, 0.0),
            'edgeon': (0.25, 0.75),
            'bar': (0.5, 0.5),
            'odd': (0.0, 1.0),
        }.items():
            conditional[TREE.question(name).slice] = values
        lines = [['split', 'file', *names], ['train', 'x.jpg', *map(str, conditional)]]
        (tmp_path / 'labels.csv').write_text('\n'.join(map(','.join, lines)))
        ((_, _, target, _),) = script.read_stripe82(tmp_path)
        value = dict(zip(TREE.source_columns, target, strict=True))
        assert value['Class2.2'] == pytest.approx(0.6)
        assert value['Class3.1'] == pytest.approx(0.3)
        # Asked, by the votes above, but not answered: unknown. Never asked: 0.
        assert np.isnan(value['Class4.1'])
        assert np.isnan(value['Class7.1'])
        assert value['Class8.1'] == 0


def test_half_light_radius_of_a_disk(script):
    y, x = np.indices((200, 200)) - 99.5
    picture = np.where(np.hypot(x, y) < 30, 200, 10).astype(np.uint8)
    picture = np.repeat(picture[..., None], 3, -1)
    radius = script.half_light_radius(picture, 95)
    assert radius == pytest.approx(30 / np.sqrt(2), rel=0.02)


class TestAffines:
    def test_ranges_are_those_of_the_paper(self, script):
        affines = script.draw_affines(2000, np.random.default_rng(0))
        zoom = np.sqrt(np.abs(np.linalg.det(affines[:, :2, :2])))
        assert 1 / 1.3 <= zoom.min() < 0.78
        assert 1.28 < zoom.max() <= 1.3
        assert np.abs(affines[:, :2, 2]).max() <= 4
        mirrored = np.linalg.det(affines[:, :2, :2]) < 0
        assert mirrored.mean() == pytest.approx(0.5, abs=0.05)

    def test_the_same_frame_at_two_pixel_sizes_renders_alike(self, script):
        rng = np.random.default_rng(3)
        small = np.asarray(
            Image.fromarray(rng.integers(0, 255, (9, 9, 3), np.uint8)).resize(
                (212, 212), Image.Resampling.BICUBIC
            )
        )
        large = np.kron(small, np.ones((2, 2, 1), np.uint8))
        data = {'pictures': [small, large], 'scales': np.array([0.5, 1.0])}
        affines = np.broadcast_to(geometry.rotation(20), (2, 3, 3))
        views = script.render(data, np.array([0, 1]), affines)
        assert views.shape == (2, 2, 3, 69, 69)
        assert (views[0] - views[1]).abs().max() < 0.03
