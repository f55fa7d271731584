# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the figures of explanations."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from galmorph.explain import (
    Excitement,
    FeatureMaps,
    SaliencyMap,
    plot_exciting,
    plot_feature_maps,
    plot_filters,
    plot_saliency,
)

RNG = np.random.default_rng(4)


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def drawn(figure):
    """The figure, drawn; nothing of it lies outside of the page."""
    figure.canvas.draw()
    width, height = figure.get_size_inches() * figure.dpi
    for artist in [*figure.axes[0].texts, *figure.axes[0].images]:
        box = artist.get_window_extent()
        assert box.x0 >= -1
        assert box.y0 >= -1
        assert box.x1 <= width + 1
        assert box.y1 <= height + 1
    return figure


def excitement(n_map=2, n_galaxy=3, *, dense=False):
    shape = (n_map, n_galaxy)
    regions = np.full((*shape, 4, 2), np.nan)
    regions[0, 0] = [[10, 10], [20, 10], [20, 20], [10, 20]]
    peaks = np.sort(RNG.random(shape))[:, ::-1]
    stamps = RNG.random((*shape, 32, 32, 3))
    rows = np.zeros(shape, int)
    return Excitement(
        'conv', np.arange(5, 5 + n_map), rows, peaks, stamps, regions, dense
    )


def saliency(method='occlusion', answer='edgeon_yes', scale=1.0):
    values = scale * RNG.normal(size=(8, 8))
    stamp = RNG.random((32, 32, 3))
    return SaliencyMap(values, stamp, answer, 0.87, method, 4.0)


class TestFilters:
    def test_grey_is_zero_and_each_has_its_own_contrast(self):
        filters = RNG.normal(size=(5, 3, 4, 4)) * [[[[1]]], [[[9]]]][0]
        filters[4] = 0
        images = drawn(plot_filters(filters, figure=Figure())).axes[0].images
        assert len(images) == 5
        shown = images[2].get_array()
        largest = np.abs(filters[2]).max()
        np.testing.assert_allclose(
            shown, 0.5 + 0.5 * filters[2].transpose(1, 2, 0) / largest
        )
        np.testing.assert_array_equal(images[4].get_array(), 0.5)

    def test_channels_apart(self):
        figure = drawn(
            plot_filters(
                RNG.normal(size=(20, 3, 6, 6)), by_channel=True, figure=Figure()
            )
        )
        assert len(figure.axes[0].images) == 60
        assert texts(figure) == ['R', 'G', 'B']

    def test_one_channel_is_grey(self):
        figure = plot_filters(RNG.normal(size=(3, 1, 6, 6)), figure=Figure())
        assert figure.axes[0].images[0].get_cmap().name == 'gray'

    def test_other_shapes(self):
        with pytest.raises(ValueError, match=r'1 or 3 channels, not \(8, 2, 3, 3\)'):
            plot_filters(np.zeros((8, 2, 3, 3)))

    def test_without_figure_makes_one_of_pyplot(self):
        import matplotlib as mpl

        mpl.use('agg')
        import matplotlib.pyplot as plt

        figure = plot_filters(np.ones((2, 3, 3, 3)))
        assert plt.gcf() is figure
        plt.close(figure)


class TestFeatureMaps:
    @pytest.fixture
    def found(self):
        maps = {
            'conv': RNG.normal(size=(2, 40, 6, 6)),
            'block': RNG.normal(size=(2, 3, 4, 4)),
            'dense': RNG.normal(size=(1, 50)),
        }
        return FeatureMaps(maps, RNG.random((2, 3, 16, 16)))

    def test_shows_each_layer_rectified_to_its_own_scale(self, found):
        figure = drawn(plot_feature_maps(found, part=1, figure=Figure()))
        images = figure.axes[0].images
        # The picture, 32 of 40 maps, all 3, and a strip.
        assert len(images) == 1 + 32 + 3 + 1
        first = np.maximum(found.maps['conv'][1, 0], 0)
        np.testing.assert_allclose(images[1].get_array(), first / first.max())
        assert {'conv', 'block', 'dense'} <= set(texts(figure))
        assert 'the first 32 of 40 maps of 6 × 6' in texts(figure)
        assert any('part 2 of 2' in text for text in texts(figure))

    def test_dead_maps_and_standardised_pictures(self):
        found = FeatureMaps(
            {'conv': np.full((1, 2, 3, 3), -1.0)}, RNG.normal(size=(1, 3, 8, 8))
        )
        images = drawn(plot_feature_maps(found, figure=Figure())).axes[0].images
        np.testing.assert_array_equal(images[1].get_array(), 0)
        picture = images[0].get_array()
        assert (picture.min(), picture.max()) == (0, 1)

    def test_no_such_part(self, found):
        with pytest.raises(ValueError, match='part must be from 0 to 1, not 2'):
            plot_feature_maps(found, part=2)


class TestExciting:
    def test_shows_stamps_regions_and_responses(self):
        found = excitement()
        figure = drawn(plot_exciting(found, figure=Figure()))
        assert len(figure.axes[0].images) == 6
        np.testing.assert_array_equal(
            figure.axes[0].images[4].get_array(), found.stamps[1, 1]
        )
        assert len(figure.axes[0].patches) == 1
        assert {'map 5', 'map 6', '1.00'} <= set(texts(figure))
        part = found.peaks[1, 2] / found.peaks[1, 0]
        assert f'{part:.2f}' in texts(figure)

    def test_region_lies_where_it_should(self):
        figure = drawn(plot_exciting(excitement(), figure=Figure()))
        axes = figure.axes[0]
        left, right, bottom, top = axes.images[0].get_extent()
        x, y = axes.patches[0].get_xy().T
        assert x.min() == pytest.approx(left + 10.5 / 32 * (right - left))
        assert y.max() == pytest.approx(top - 10.5 / 32 * (top - bottom))

    def test_names(self):
        figure = plot_exciting(excitement(), names=['arms', 'bar'], figure=Figure())
        assert {'arms', 'bar'} <= set(texts(figure))
        assert 'unit 5' in texts(plot_exciting(excitement(dense=True), figure=Figure()))
        with pytest.raises(ValueError, match='names has 1 entries for 2 maps'):
            plot_exciting(excitement(), names=['arms'])


class TestSaliency:
    def test_one_or_several(self):
        assert len(drawn(plot_saliency(saliency(), figure=Figure())).axes) == 2
        maps = [saliency('gradient'), saliency(answer='spiral_spiral'), saliency()]
        figure = drawn(plot_saliency(maps, figure=Figure()))
        assert len(figure.axes) == 4
        assert texts(figure).count('gradient') == 1
        assert texts(figure).count('fall when covered') == 1
        assert 'spiral_spiral\n0.87' in texts(figure)

    def test_white_is_no_change(self):
        image = plot_saliency(saliency(), figure=Figure()).axes[0].images[1]
        low, high = image.get_clim()
        assert low == -high

    def test_maps_without_any_change(self):
        drawn(plot_saliency(saliency(scale=0.0), figure=Figure()))

    def test_titles(self):
        figure = plot_saliency(saliency(), titles=['Spiral'], figure=Figure())
        assert 'Spiral' in texts(figure)
        with pytest.raises(ValueError, match='titles has 2 entries for 1 maps'):
            plot_saliency(saliency(), titles=['a', 'b'])
