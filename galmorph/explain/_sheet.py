# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The page that the figures of this room are drawn on."""

import numpy as np

__all__ = ['DIM', 'INK', 'Sheet', 'as_text']

INK, DIM, _MARK = '#222222', '#6b7280', '#ffd166'


class Sheet:
    """A white page whose coordinates are inches from the lower left."""

    def __init__(self, figure, width, height):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        # Each text would make one for itself, of the size of the page.
        self._renderer = FigureCanvasAgg(Figure((1, 1), 200)).get_renderer()
        if figure is None:
            import matplotlib.pyplot as plt

            figure = plt.figure()
        margin = 0.05
        size = width + 2 * margin, height + 2 * margin
        figure.set_size_inches(*size)
        figure.set_facecolor('w')
        figure.set_dpi(200)
        self.figure = figure
        self.axes = figure.add_axes((0, 0, 1, 1))
        self.axes.set_axis_off()
        self._size, self._margin = size, margin
        self._extent = (-margin, width + margin, -margin, height + margin)
        self.axes.axis(self._extent)

    def text(self, x, y, text, *, size=8, colour=INK, width=None, **options):
        made = self.axes.text(x, y, text, fontsize=size, color=colour, **options)
        if width is not None:
            taken = made.get_window_extent(self._renderer).width / self.figure.dpi
            made.set_fontsize(size * min(1, width / taken))

    def picture(self, x, y, side, pixels, *, smooth=False, **options):
        pixels = np.asarray(pixels)
        if pixels.ndim == 3 and pixels.shape[-1] == 1:
            pixels, options = pixels[..., 0], {'cmap': 'gray', 'vmin': 0, 'vmax': 1}
        elif pixels.ndim == 2 and 'cmap' not in options:
            options = {'cmap': 'gray', 'vmin': 0, 'vmax': 1}
        self._image(pixels, (x, x + side, y, y + side), smooth=smooth, **options)

    def strip(self, x, y, width, height, values):
        extent = (x, x + width, y, y + height)
        self._image(values, extent, cmap='magma', vmin=0, vmax=1)

    def _image(self, pixels, extent, *, smooth=False, **options):
        self.axes.imshow(
            pixels,
            extent=extent,
            origin='upper',
            interpolation='bilinear' if smooth else 'nearest',
            aspect='auto',
            **options,
        )
        self.axes.axis(self._extent)

    def outline(self, x, y, *, clip):
        from matplotlib import patheffects
        from matplotlib.patches import Polygon, Rectangle

        left, bottom, side = clip
        made = self.axes.add_patch(
            Polygon(np.stack([x, y], -1), fill=False, ec=_MARK, lw=0.9)
        )
        # Seen on dark and on bright ground.
        stroke = patheffects.withStroke(linewidth=1.8, foreground='k', alpha=0.6)
        made.set_path_effects([stroke])
        box = Rectangle((left, bottom), side, side, transform=self.axes.transData)
        made.set_clip_path(box)

    def scale_bar(self, x, y, length):
        self.axes.plot([x, x + length], [y, y], color='w', lw=1.5)

    def colour_bar(self, x, y, width, *, cmap, vmin, vmax):
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize

        margin = self._margin
        box = np.array([x + margin, y + margin, width, 0.06])
        axes = self.figure.add_axes(box / np.tile(self._size, 2))
        mappable = ScalarMappable(Normalize(vmin, vmax), cmap)
        ticks = [vmin, 0, vmax] if vmin < 0 else [0, vmax]
        bar = self.figure.colorbar(mappable, cax=axes, orientation='horizontal')
        bar.set_ticks(
            ticks, labels=[f'{value:.2g}'.replace('-', '−') for value in ticks]
        )
        axes.tick_params(labelsize=6.5, length=2, pad=1.5, colors=DIM)
        bar.outline.set_visible(False)


def as_text(value, form):
    """A number with a minus of full width."""
    return f'{value:{form}}'.replace('-', '−')
