# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of catalogues that a cluster annotates."""

import json
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable, Table

from galmorph import MorphologyClassifier
from galmorph.exceptions import WeightsError
from galmorph.inference import distributed
from galmorph.inference.distributed import annotate
from galmorph.sources import create_source
from tests.helpers.cluster import DEPRECATIONS, start_cluster
from tests.helpers.modules import load_file

pd = pytest.importorskip('pandas')
dd = pytest.importorskip('dask.dataframe', exc_type=ImportError)
with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    lsdb = pytest.importorskip('lsdb', exc_type=ImportError)

pytestmark = [pytest.mark.filterwarnings(text) for text in DEPRECATIONS]

N_GALAXY = 40


@pytest.fixture(scope='module')
def sky(tmp_path_factory):
    module = load_file('benchmarks/generated_sky.py')
    folder = tmp_path_factory.mktemp('sky')
    options = {'tile_side': 600, 'spacing': 190, 'bands': 'gri'}
    # Four HEALPix pixels of each order meet here.
    return module.make_sky(folder, N_GALAXY, centre=(180.0, 0.0), **options)


@pytest.fixture(scope='module')
def mosaic(sky):
    return str(sky.sources.parent / 'tiles' / '*.fits')


@pytest.fixture(scope='module')
def sources(sky):
    """The table, some of its sizes unknown, some galaxies on no tile."""
    table = Table(QTable.read(sky.sources)['id', 'ra', 'dec', 'petroR90'])
    table['petroR90'][::9] = np.nan
    table['dec'][10:15] += 20
    return table


@pytest.fixture(scope='module')
def expected(sources, mosaic, tiny_card):
    """What a single process says, by the number of the galaxy."""
    classifier = MorphologyClassifier(tiny_card, 'cpu', n_workers=1)
    table = classifier.predict_table(sources, mosaic=mosaic, size='petroR90')
    table.sort('id')
    return table


@pytest.fixture(scope='module')
def frame(sources):
    return pd.DataFrame({name: sources[name] for name in sources.colnames})


@pytest.fixture(scope='module')
def hats(frame, tmp_path_factory):
    """A catalogue on disk whose positions have names of their own."""
    path = tmp_path_factory.mktemp('hats') / 'sources'
    named = frame.rename(columns={'ra': 'alpha', 'dec': 'delta'})
    # another position that is not to be taken
    named['RA'], named['Dec'] = 0.0, 0.0
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', DeprecationWarning)
        catalogue = lsdb.from_dataframe(
            named,
            catalog_name='sources',
            ra_column='alpha',
            dec_column='delta',
            lowest_order=4,
            highest_order=4,
            partition_rows=N_GALAXY,
            margin_threshold=None,
        )
        catalogue.write_catalog(path, progress_bar=False)
    return path


@pytest.fixture(scope='module')
def client(tiny_card, tmp_path_factory):
    with start_cluster(tmp_path_factory.mktemp('workers')) as client:
        yield client


def check_same(frame, expected):
    """Compare a data frame with the table of a single process, row for row."""
    frame = frame.sort_values('id')
    assert frame['id'].tolist() == expected['id'].tolist()
    new = [name for name in expected.colnames if name not in ('id', 'ra', 'dec')]
    new.remove('petroR90')
    assert [name for name in frame.columns if name in new] == new
    for name in new:
        column, found = expected[name], frame[name]
        mask = np.broadcast_to(getattr(column, 'mask', False), len(column))
        assert found.isna().tolist() == mask.tolist(), name
        values = np.ma.getdata(column)[~mask]
        found = found[~mask]
        if column.dtype.kind == 'f':
            assert str(found.dtype) == 'float[pyarrow]'
            np.testing.assert_allclose(
                found.to_numpy(float), values, rtol=1e-5, atol=1e-6, err_msg=name
            )
        else:
            kind = 'int32[pyarrow]' if column.dtype.kind == 'i' else 'string[pyarrow]'
            assert str(found.dtype) == kind
            assert found.tolist() == values.tolist(), name


def expected_flags(expected, ids):
    return expected['morphology_flags'][np.searchsorted(expected['id'], ids)].tolist()


def test_the_table_has_rows_of_all_kinds(expected):
    # else the comparisons below say little
    answered = ~expected['morphology_class'].mask
    assert answered.sum() > N_GALAXY / 2
    assert not answered.all()
    assert np.ptp(expected['smooth_or_features_smooth'][answered]) > 0.01


class TestTwoProcesses:
    def test_lsdb_gives_the_table_of_a_single_process_though_one_is_killed(
        self, client, hats, mosaic, tiny_card, expected
    ):
        from distributed import wait

        catalogue = lsdb.open_catalog(hats)
        assert len(catalogue.get_healpix_pixels()) > 4
        annotated = annotate(catalogue, tiny_card, mosaic=mosaic, size='petroR90')
        pids = client.run(os.getpid)
        assert len(set(pids.values()) | {os.getpid()}) == 3
        futures = client.compute(annotated.to_delayed())
        done = wait(futures, return_when='FIRST_COMPLETED').done
        # What this worker holds is lost, and what it is at.
        address = client.who_has(done)[next(iter(done)).key][0]
        os.kill(pids[address], signal.SIGKILL)
        parts = client.gather(futures)
        assert pids[address] not in client.run(os.getpid).values()
        check_same(pd.concat(parts), expected)

    def test_dask(self, client, frame, mosaic, tiny_card, expected):
        before = frame.copy()
        catalogue = dd.from_pandas(frame, npartitions=3, sort=False)
        annotated = annotate(
            catalogue, tiny_card, mosaic=mosaic, size='petroR90', overwrite=True
        )
        computed = annotated.compute()
        check_same(computed, expected)
        assert computed.dtypes.equals(annotated.dtypes)
        # order and index
        pd.testing.assert_frame_equal(computed[['id', 'ra']], frame[['id', 'ra']])
        pd.testing.assert_frame_equal(frame, before)

    def test_network_is_loaded_once_a_worker(self, client, frame, mosaic, tiny_card):
        catalogue = dd.from_pandas(frame, npartitions=6)
        options = {'mosaic': mosaic, 'size': 'petroR90', 'columns': 'best'}
        annotate(catalogue, tiny_card, **options).compute()
        counts = client.run(lambda: distributed._load_classifier.cache_info()[:2])
        hits, misses = np.sum(list(counts.values()), 0)
        assert hits + misses >= 6
        assert misses <= 4


class TestWithoutCluster:
    @pytest.fixture(autouse=True)
    def synchronous(self):
        import dask

        with dask.config.set(scheduler='synchronous'):
            yield

    def test_hats_keeps_answers_and_provenance(
        self, hats, mosaic, tiny_card, expected, tmp_path
    ):
        annotated = annotate(
            lsdb.open_catalog(hats), tiny_card, mosaic=mosaic, size='petroR90'
        )
        annotated.write_catalog(tmp_path / 'out', progress_bar=False)
        read = lsdb.open_catalog(tmp_path / 'out')
        frame = read.compute(progress_bar=False)
        assert (frame['RA'] == 0).all()
        check_same(frame.astype(annotated.dtypes.to_dict()), expected)
        assert read.columns.tolist() == annotated.columns.tolist()
        kept = read.hc_structure.catalog_info.extra_dict()
        assert kept['GM_WGHTS'] == expected.meta['GM_WGHTS'] == 'tiny.gz2'
        assert kept['GM_SHA'] == expected.meta['GM_SHA']
        assert json.loads(kept['GM_PROV'])['schema'] == 'gz2'

    def test_input_keeps_its_properties(self, hats, mosaic, tiny_card):
        catalogue = lsdb.open_catalog(hats)
        annotate(catalogue, tiny_card, mosaic=mosaic)
        assert 'GM_WGHTS' not in catalogue.hc_structure.catalog_info.extra_dict()

    def test_parquet_keeps_answers_and_provenance(
        self, frame, mosaic, tiny_card, expected, tmp_path
    ):
        annotated = annotate(
            dd.from_pandas(frame, npartitions=2),
            tiny_card,
            mosaic=mosaic,
            size='petroR90',
            precision='float32',
        )
        annotated.to_parquet(tmp_path)
        read = pd.read_parquet(tmp_path, dtype_backend='pyarrow')
        check_same(read, expected)
        for attrs in (annotated._meta.attrs, read.attrs):
            told = json.loads(attrs['GM_PROV'])
            assert told['weights'] == 'tiny.gz2'
            assert told['device'] == 'auto'
            once = json.loads(expected.meta['GM_PROV'])
            assert told.keys() == once.keys()

    def test_partitions_without_rows(self, frame, mosaic, tiny_card, expected):
        parts = [frame[:25], frame[:0], frame[25:]]
        catalogue = dd.concat([dd.from_pandas(part, npartitions=1) for part in parts])
        annotated = annotate(catalogue, tiny_card, mosaic=mosaic, size='petroR90')
        assert annotated.npartitions == 3
        empty = annotated.partitions[1].compute()
        assert len(empty) == 0
        assert empty.dtypes.equals(annotated.dtypes)
        check_same(annotated.compute(), expected)

    def test_images_named_in_a_column(self, sky, tiny_card):
        paths = [str(path) for path in sky.tiles['r'][:3]]
        frame = pd.DataFrame({'file': [*paths, None, 'missing.fits']}, index=[*'vwxyz'])
        annotated = annotate(
            dd.from_pandas(frame, npartitions=2, sort=False),
            tiny_card,
            columns='best',
            size=5 * u.arcsec,
        ).compute()
        table = MorphologyClassifier(tiny_card, 'cpu').predict_table(
            Table(
                {'file': np.ma.array(frame['file'].fillna(''), mask=[0, 0, 0, 1, 0])}
            ),
            columns='best',
            size=5 * u.arcsec,
        )
        assert annotated.index.tolist() == [*'vwxyz']
        flags = annotated['morphology_flags']
        assert flags.tolist() == table['morphology_flags'].tolist()
        reasons = annotated['morphology_reason'].fillna('')
        assert reasons.tolist() == table['morphology_reason'].filled('').tolist()

    def test_columns_of_the_same_name(self, frame, mosaic, tiny_card):
        frame = frame.assign(morphology_flags='old')[['morphology_flags', 'ra', 'dec']]
        catalogue = dd.from_pandas(frame, npartitions=2)
        with pytest.raises(ValueError, match='already has the columns morphology_fl'):
            annotate(catalogue, tiny_card, mosaic=mosaic)
        replaced = annotate(
            catalogue,
            tiny_card,
            mosaic=mosaic,
            columns='best',
            size=2 * u.arcsec,
            overwrite=True,
        )
        assert replaced.columns[:3].tolist() == ['morphology_flags', 'ra', 'dec']
        assert str(replaced.compute().dtypes.iloc[0]) == 'int32[pyarrow]'

    def test_spread_has_its_columns(self, frame, mosaic, tiny_card):
        annotated = annotate(
            dd.from_pandas(frame[:6], npartitions=1),
            tiny_card,
            mosaic=mosaic,
            columns='edgeon',
            n_transforms=2,
            size='petroR90',
        ).compute()
        assert 'edgeon_yes_std' in annotated
        assert annotated['edgeon_yes_std'].notna().any()

    def test_relative_paths_are_those_of_the_caller(
        self, frame, sky, tiny_card, expected, monkeypatch
    ):
        monkeypatch.chdir(tiny_card.parent)
        mosaic = {
            band: os.path.relpath(sky.sources.parent / 'tiles' / f'*-{band}.fits')
            for band in 'gri'
        }
        annotated = annotate(
            dd.from_pandas(frame[:8], npartitions=1),
            tiny_card.name,
            mosaic=mosaic,
            size='petroR90',
        )
        monkeypatch.chdir(Path(tiny_card.parent).parent)
        flags = annotated['morphology_flags'].compute()
        assert flags.tolist() == expected_flags(expected, frame['id'][:8])

    def test_survey_is_told(self, frame, tiny_card):
        annotated = annotate(
            dd.from_pandas(frame, npartitions=1), tiny_card, survey='sdss'
        )
        told = annotated._meta.attrs
        assert told['GM_SURVY'] == create_source('sdss').archive.name


class TestWrongArguments:
    @pytest.fixture
    def catalogue(self, frame):
        return dd.from_pandas(frame.assign(name='x'), npartitions=2)

    @pytest.mark.parametrize(
        ('options', 'error', 'message'),
        [
            ({'mosaic': np.eye(30)}, TypeError, 'must name files, not be a ndarray'),
            ({'survey': object()}, TypeError, 'must be a name, not object'),
            ({'mosaic': 'a', 'size': [1] * u.deg}, TypeError, 'one Quantity for all'),
            ({'mosaic': 'a', 'size': 'none'}, ValueError, "'none' is no column"),
            ({'mosaic': 'a', 'size': 'name'}, ValueError, 'must hold numbers'),
            ({'mosaic': 'a', 'image': 'name'}, ValueError, 'not both'),
            ({'mosaic': 'a', 'unit': 'furlongs'}, ValueError, 'furlongs'),
            ({'mosaic': 'a', 'columns': 'colour'}, ValueError, 'colour'),
            ({'image': 'none'}, ValueError, 'no column of the table'),
            ({'survey': 'none'}, ValueError, 'none'),
            ({}, ValueError, 'no column of images'),
        ],
    )
    def test_are_found_before_the_work(
        self, catalogue, tiny_card, options, error, message
    ):
        with pytest.raises(error, match=message):
            annotate(catalogue, tiny_card, **options)

    def test_catalogue_without_positions(self, frame, tiny_card):
        catalogue = dd.from_pandas(frame[['id']], npartitions=1)
        with pytest.raises(ValueError, match='the table has no positions'):
            annotate(catalogue, tiny_card, mosaic='a')

    def test_positions_that_are_words(self, tiny_card):
        words = pd.DataFrame({'ra': ['12h'], 'dec': ['+3d']})
        with pytest.raises(ValueError, match="column 'ra' must hold angles"):
            annotate(dd.from_pandas(words, npartitions=1), tiny_card, mosaic='a')

    def test_unknown_weights(self, catalogue):
        with pytest.raises(WeightsError, match='unknown weights'):
            annotate(catalogue, 'dielman', mosaic='a')

    def test_loaded_weights(self, catalogue):
        with pytest.raises(TypeError, match='each worker loads them by itself'):
            annotate(catalogue, object(), mosaic='a')

    @pytest.mark.parametrize('given', [Table({'a': [1]}), pd.DataFrame({'a': [1]})])
    def test_other_catalogues(self, given, tiny_card):
        with pytest.raises(TypeError, match=r'predict_table takes tables'):
            annotate(given, tiny_card)


class TestMissingPackages:
    def test_module_needs_neither(self):
        code = (
            'import sys, galmorph.inference.distributed; '
            "print([name for name in ('dask.dataframe', 'distributed', 'lsdb', "
            "'pandas', 'torch') if name in sys.modules])"
        )
        run = subprocess.run(
            [sys.executable, '-c', code], capture_output=True, text=True, check=True
        )
        assert run.stdout.strip() == '[]'

    @pytest.mark.parametrize(
        ('missing', 'extra'), [('dask.dataframe', 'dask'), ('lsdb', 'lsdb')]
    )
    def test_the_extra_is_named(self, monkeypatch, missing, extra):
        monkeypatch.setitem(sys.modules, missing, None)
        with pytest.raises(ImportError, match=rf"'astro-galmorph\[{extra}\]'"):
            annotate(Table())


class TestOwnDevice:
    @pytest.fixture
    def device_of(self, monkeypatch):
        class Worker:
            port = 40005

        def device_of(name, n_device=2, visible=None):
            import torch

            worker = Worker()
            worker.name = name
            monkeypatch.setattr(distributed, '_worker', lambda: worker)
            monkeypatch.setattr(torch.cuda, 'device_count', lambda: n_device)
            monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
            if visible is not None:
                monkeypatch.setenv('CUDA_VISIBLE_DEVICES', visible)
            return distributed._own_device()

        return device_of

    def test_workers_take_turns(self, device_of):
        devices = [device_of(name) for name in (0, 1, 2, 'SLURMCluster-3')]
        assert devices == ['cuda:0', 'cuda:1', 'cuda:0', 'cuda:1']

    def test_worker_without_a_number(self, device_of):
        assert device_of('tcp://node:40005') == 'cuda:1'

    def test_one_device_or_none_is_no_choice(self, device_of):
        assert [device_of(1, 0), device_of(1, 1)] == ['auto', 'auto']

    def test_visible_devices(self, device_of):
        assert device_of(1, 2, '4,6') == 'cuda:1'
        # of dask-cuda
        assert device_of(1, 2, '1,0') == 'cuda:0'
