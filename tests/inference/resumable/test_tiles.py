# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Catalogues over mosaics of tiles, from file to file."""

import shutil

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import QTable
from astropy.utils.masked import Masked

from galmorph import conf
from galmorph.exceptions import ChangedFileError
from galmorph.images import TiledMosaic
from galmorph.inference.feeds import MosaicFeed
from galmorph.inference.resumable.manifest import ManifestError
from galmorph.inference.resumable.plan import TilePlan
from galmorph.tables import open_tables
from tests.helpers.faults import spoil
from tests.helpers.modules import load_file
from tests.helpers.tables import assert_same_table


@pytest.fixture(scope='module')
def sky(tmp_path_factory):
    """Nine tiles with some fifty galaxies each."""
    make_sky = load_file('benchmarks/generated_sky.py').make_sky
    return make_sky(tmp_path_factory.mktemp('sky'), 450, tile_side=200, bands='gri')


@pytest.fixture
def own_sky(sky, tmp_path):
    """The same in files that a test may change."""
    shutil.copytree(sky.sources.parent, tmp_path / 'sky')

    def moved(path):
        return tmp_path / 'sky' / path.relative_to(sky.sources.parent)

    tiles = {band: list(map(moved, paths)) for band, paths in sky.tiles.items()}
    return type(sky)(moved(sky.sources), tiles)


@pytest.fixture
def sources(sky):
    return QTable.read(sky.sources)


@pytest.fixture
def options(sky):
    return {'mosaic': f'{sky.sources.parent}/tiles/*.fits', 'size': 'petroR90'}


@pytest.fixture(autouse=True)
def chunks():
    with conf.set_temp('chunk_size', 40):
        yield


@pytest.mark.parametrize('size', ['petroR90', None])
def test_is_what_predict_table_returns(classifier, sources, options, tmp_path, size):
    sources, options['size'] = sources[: 60 if size is None else None], size
    path = classifier.predict_table(sources, output=tmp_path / 'out.fits', **options)
    wanted = classifier.predict_table(sources, **options)
    assert_same_table(QTable.read(path), wanted, is_fits=True)


def test_each_tile_is_worked_on_once(classifier, sky, options, tmp_path):
    with open_tables(sky.sources) as stream:
        feed = MosaicFeed(stream.template, classifier.recipe, **options)
        plan = TilePlan(stream, feed, 40, tmp_path)
        rows = np.concatenate([plan.rows(number) for number in range(plan.n_chunks)])
        table = stream.read(0, stream.n_rows)
        assert sorted(rows) == list(range(stream.n_rows))
        tiles = feed.assign(table)[rows]
        # From one tile to the next, never back; upwards on each.
        assert np.flatnonzero(np.diff(tiles)).size == len(np.unique(tiles)) - 1
        for tile in set(tiles.tolist()) - {-1}:
            assert (np.diff(table['dec'][rows[tiles == tile]].value) >= 0).all()
        inputs = plan.inputs(3)
        assert (inputs['ra'] == table['ra'][plan.rows(3)]).all()
        assert (inputs['size'] == table['petroR90'][plan.rows(3)]).all()
        # What is there is taken.
        again = TilePlan(stream, feed, 40, tmp_path)
        assert (again.rows(5) == plan.rows(5)).all()


def test_plan_in_blocks(classifier, sky, options, tmp_path, monkeypatch):
    with open_tables(sky.sources) as stream:
        feed = MosaicFeed(stream.template, classifier.recipe, **options)
        plans = []
        for block in (7, 1000):
            monkeypatch.setattr('galmorph.inference.resumable.plan._BLOCK', block)
            (tmp_path / f'{block}').mkdir()
            plans.append(TilePlan(stream, feed, 1000, tmp_path / f'{block}').rows(0))
    assert (plans[0] == plans[1]).all()


@pytest.mark.parametrize('masked', [False, True])
def test_coordinates_of_another_frame(classifier, sources, options, tmp_path, masked):
    sources = sources[:50]
    coords = SkyCoord(sources['ra'], sources['dec']).galactic
    sources.remove_columns(['ra', 'dec'])
    if masked:
        mask = np.arange(50) == 7
        angles = [Masked(angle, mask=mask) for angle in (coords.l, coords.b)]
        coords = SkyCoord(*angles, frame='galactic')
    sources['place'] = coords
    path = classifier.predict_table(sources, output=tmp_path / 'a.parquet', **options)
    assert_same_table(QTable.read(path), classifier.predict_table(sources, **options))


def test_faults_cost_their_own_rows(classifier, sky, own_sky, options, tmp_path):
    whole = QTable.read(
        classifier.predict_table(
            sky.sources, output=tmp_path / 'whole.parquet', **options
        )
    )
    spoilt = spoil(own_sky, tmp_path)
    options['mosaic'] = str(own_sky.sources.parent / 'tiles' / '*.fits')
    path = classifier.predict_table(
        spoilt.tables, output=tmp_path / 'out.parquet', **options
    )
    found = QTable.read(path)
    assert found['id'].tolist() == whole['id'].tolist()
    assert found['ra'].unit == whole['ra'].unit
    flags = np.asarray(found['morphology_flags'])
    answer = 'edgeon_yes'
    for kind, (rows, flag) in spoilt.expected.items():
        assert rows.any(), kind
        assert (flags[rows] & int(flag)).all(), kind
        assert found[answer].mask[rows].all(), kind
        assert not found['morphology_reason'].mask[rows].any(), kind
    # In the last digit, radians differ.
    values = [table[answer].filled(-1) for table in (found, whole)]
    np.testing.assert_allclose(*(v[spoilt.same] for v in values), atol=1e-4)
    assert (flags[spoilt.same] == whole['morphology_flags'][spoilt.same]).all()
    assert spoilt.same.sum() > 20
    turned = np.abs(values[0] - values[1])[spoilt.turned]
    assert np.median(turned) < 0.005
    assert (values[0][spoilt.turned] >= 0).all()


class TestChanges:
    @pytest.fixture
    def stop_at(self, monkeypatch):
        """Let something happen before the n-th chunk is cut."""

        def prepare(number, action):
            cutouts, calls = TiledMosaic.cutouts, []

            def cut(mosaic, *args, **kwargs):
                calls.append(1)
                if len(calls) == number:
                    action()
                return cutouts(mosaic, *args, **kwargs)

            monkeypatch.setattr(TiledMosaic, 'cutouts', cut)

        return prepare

    def test_vanished_tile(self, classifier, own_sky, tmp_path, stop_at, monkeypatch):
        options = {'mosaic': str(own_sky.sources.parent / 'tiles'), 'size': 'petroR90'}
        whole = classifier.predict_table(
            own_sky.sources, output=tmp_path / 'whole.parquet', **options
        )
        last = own_sky.tiles['r'][-1]
        away = last.with_suffix('.away')
        stop_at(4, lambda: last.rename(away))
        path = tmp_path / 'out.parquet'
        with pytest.raises(ChangedFileError, match=r'chunks .* finished and kept') as e:
            classifier.predict_table(own_sky.sources, output=path, **options)
        assert str(last) in str(e.value)
        assert list(tmp_path.glob('out.parquet.run/chunks/*.npz'))
        monkeypatch.undo()
        with (
            conf.set_temp('chunk_size', 40),
            pytest.raises(ManifestError, match='images mosaic'),
        ):
            classifier.predict_table(
                own_sky.sources, output=path, resume=True, **options
            )
        away.rename(last)
        with conf.set_temp('chunk_size', 40):
            classifier.predict_table(
                own_sky.sources, output=path, resume=True, **options
            )
        assert path.read_bytes() == whole.read_bytes()

    def test_changed_tile(self, classifier, own_sky, tmp_path, stop_at):
        def change():
            tile = own_sky.tiles['r'][-1]
            tile.write_bytes(tile.read_bytes() + bytes(2880))

        stop_at(4, change)
        with pytest.raises(ChangedFileError, match=r'tile-.*-r\.fits'):
            classifier.predict_table(
                own_sky.sources,
                mosaic=str(own_sky.sources.parent / 'tiles'),
                size='petroR90',
                output=tmp_path / 'out.parquet',
            )


def test_several_tables(classifier, sources, options, tmp_path):
    sources = sources[:80]
    for number, rows in enumerate([slice(0, 30), slice(30, 80)]):
        sources[rows].write(tmp_path / f'part-{number}.ecsv')
    path = classifier.predict_table(
        tmp_path / 'part-*.ecsv', output=tmp_path / 'out.parquet', **options
    )
    assert_same_table(QTable.read(path), classifier.predict_table(sources, **options))
