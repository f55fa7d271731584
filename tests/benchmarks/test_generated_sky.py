# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the generated sky: what is on the tiles against formulas."""

import itertools

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import QTable
from astropy.wcs import WCS
from scipy.special import gammainc, gammaincinv

from tests.helpers.galaxies import petrosian_sizes, sersic_image
from tests.helpers.modules import load_file


@pytest.fixture(scope='module')
def generated_sky():
    return load_file('benchmarks/generated_sky.py')


@pytest.fixture(scope='module')
def crowd(generated_sky, tmp_path_factory):
    """Many galaxies on small tiles."""
    folder = tmp_path_factory.mktemp('crowd')
    return generated_sky.make_sky(folder, 600, tile_side=150, bands='gri')


@pytest.fixture(scope='module', params=range(5), ids=lambda seed: f'seed {seed}')
def drawn(request, generated_sky, tmp_path_factory):
    sky = generated_sky.make_sky(
        tmp_path_factory.mktemp('one'),
        1,
        seed=request.param,
        tile_side=250,
        spacing=250,
        bands='gr',
        dtype='float32',
        seeing=0 * u.arcsec,
        noise=0,
    )
    galaxy = QTable.read(sky.sources)[0]
    path = sky.tiles['r'][0]
    return (
        galaxy,
        fits.getdata(path),
        WCS(fits.getheader(path)),
        fits.getdata(sky.tiles['g'][0]),
    )


class TestOneGalaxy:
    def test_pixels_are_those_of_the_formula(self, drawn):
        galaxy, pixels, wcs, _ = drawn
        coord = SkyCoord(galaxy['ra'], galaxy['dec'])
        x, y = map(float, wcs.world_to_pixel(coord))
        x1, y1 = wcs.world_to_pixel(
            coord.directional_offset_by(galaxy['pa'], 1 * u.arcsec)
        )
        expected = sersic_image(
            pixels.shape,
            n=galaxy['n'],
            r_eff=galaxy['r_e'].value / 0.396,
            axis_ratio=galaxy['q'],
            angle=np.degrees(np.arctan2(y1 - y, x1 - x)),
            position=(x, y),
            flux=10 ** (0.4 * (22.5 - galaxy['mag'].value)),
        )
        shown = pixels > 0
        assert shown.sum() > 300
        error = np.abs(pixels - expected)[shown]
        assert error.max() < 0.02 * expected.max()
        assert error.sum() < 0.01 * expected.sum()

    def test_flux_is_that_of_the_magnitude(self, drawn):
        galaxy, pixels, _, green = drawn
        b = gammaincinv(2 * galaxy['n'], 0.5)
        flux = 10 ** (0.4 * (22.5 - galaxy['mag'].value))
        flux *= gammainc(2 * galaxy['n'], b * 8 ** (1 / galaxy['n']))
        assert pixels.sum(dtype=float) == pytest.approx(flux, rel=0.004)
        ratio = 10 ** (-0.4 * galaxy['g_r'].value)
        np.testing.assert_allclose(green, pixels * ratio, rtol=1e-5)

    def test_petrosian_radius_is_that_of_the_profile(self, drawn):
        galaxy = drawn[0]
        _, _, r90 = petrosian_sizes(galaxy['n'], galaxy['r_e'].value, galaxy['q'])
        assert galaxy['petroR90'].to_value(u.arcsec) == pytest.approx(r90, rel=1e-3)


class TestMany:
    def test_brightest_are_where_the_table_says(self, crowd):
        table = QTable.read(crowd.sources)
        for number, path in enumerate(crowd.tiles['r']):
            pixels = fits.getdata(path)
            here = table[table['tile'] == number]
            bright = here[np.argsort(here['mag'])[:3]]
            coord = SkyCoord(bright['ra'], bright['dec'])
            x, y = np.rint(WCS(fits.getheader(path)).world_to_pixel(coord)).astype(int)
            assert (pixels[y, x] > 20 * 0.025).all()

    def test_tiles_that_hold_a_galaxy_are_counted(self, crowd):
        table = QTable.read(crowd.sources)
        coord = SkyCoord(table['ra'], table['dec'])
        inside = []
        for path in crowd.tiles['g']:
            x, y = WCS(fits.getheader(path)).world_to_pixel(coord)
            inside.append(np.minimum(np.minimum(x, y), 149 - np.maximum(x, y)) + 0.5)
        n_tiles = (np.array(inside) > 0).sum(0)
        assert table['n_tiles'].tolist() == n_tiles.tolist()
        best = np.where(n_tiles > 0, np.argmax(inside, 0), -1)
        assert table['tile'].tolist() == best.tolist()
        # There are gaps and overlaps.
        assert {0, 1, 2} <= set(n_tiles.tolist())

    def test_rows_are_shuffled_and_whole(self, crowd):
        ids = QTable.read(crowd.sources)['id'].tolist()
        assert sorted(ids) == list(range(600)) != ids

    def test_headers_name_band_and_unit(self, crowd):
        assert {len(paths) for paths in crowd.tiles.values()} == {19}
        for band, paths in crowd.tiles.items():
            header = fits.getheader(paths[0])
            assert header['BITPIX'] == 16
            assert (header['FILTER'], header['BUNIT']) == (band, 'nanomaggy')

    def test_noise_is_that_of_the_band(self, generated_sky, tmp_path):
        sky = generated_sky.make_sky(
            tmp_path, 2, tile_side=300, spacing=212, bands='gi'
        )
        for band, paths in sky.tiles.items():
            pixels = fits.getdata(paths[0])
            middle, low = np.percentile(pixels, [50, 15.87])
            sigma = generated_sky.NOISE[band]
            assert middle - low == pytest.approx(sigma, rel=0.1)

    def test_seeing_keeps_the_flux(self, generated_sky, tmp_path):
        sums = []
        for seeing in (0, 1.5):
            sky = generated_sky.make_sky(
                tmp_path / str(seeing),
                1,
                seed=3,
                tile_side=250,
                spacing=250,
                dtype='float32',
                seeing=seeing * u.arcsec,
                noise=0,
            )
            pixels = fits.getdata(sky.tiles['r'][0])
            sums.append((pixels.sum(dtype=float), pixels.max()))
        assert sums[1][0] == pytest.approx(sums[0][0], rel=1e-3)
        assert sums[1][1] < sums[0][1]


def test_threads_change_nothing(generated_sky, tmp_path):
    skies = [
        generated_sky.make_sky(tmp_path / str(k), 150, tile_side=150, n_threads=k)
        for k in (1, 3)
    ]
    pairs = zip(*(sky.tiles['r'] for sky in skies), strict=True)
    for one, other in itertools.chain(pairs, [[sky.sources for sky in skies]]):
        assert one.read_bytes() == other.read_bytes()


def test_command_line(generated_sky, tmp_path, monkeypatch, capsys):
    arguments = ['generated_sky.py', str(tmp_path), '--n', '20', '--tile-side', '100']
    monkeypatch.setattr('sys.argv', [*arguments, '--dtype', 'float32'])
    generated_sky.main()
    assert capsys.readouterr().out.startswith('20 galaxies, 1 tiles of 100 px')
    assert len(QTable.read(tmp_path / 'sources.parquet')) == 20
