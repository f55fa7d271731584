# Licensed under a 3-clause BSD style license - see LICENSE.rst
import io
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
import yaml
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import CCDData, Cutout2D
from astropy.table import MaskedColumn, QTable, Table
from PIL import Image

from galmorph import conf
from galmorph.classifier import MorphologyClassifier
from galmorph.exceptions import ImageError, WeightsError
from galmorph.flags import MorphologyFlag
from galmorph.images import GalaxyImage, Mosaic
from galmorph.inference import stream
from galmorph.preprocessing.recipe import Recipe
from tests.helpers.fits import make_wcs
from tests.helpers.galaxies import add_noise, sersic_image
from tests.helpers.tiny import QUESTIONS, TinyNetwork, draw_stamps, make_tiny_card

STAMPS = draw_stamps(12)


def columns_of(table, suffix=''):
    """All numbers of a table of answers, NaN where masked."""
    names = [n for n in table.colnames if n.endswith(suffix) and '_' in n]
    names = [n for n in names if table[n].dtype.kind == 'f']
    return np.ma.stack([np.ma.asarray(table[n]) for n in names]).filled(np.nan).T


def assert_same(first, second):
    assert first.colnames == second.colnames
    for name in first.colnames:
        np.testing.assert_array_equal(
            np.ma.getmaskarray(first[name]), np.ma.getmaskarray(second[name])
        )
        assert (
            np.ma.allequal(np.ma.asarray(first[name]), np.ma.asarray(second[name]))
            or first[name].dtype.kind == 'f'
        )
    np.testing.assert_array_equal(columns_of(first), columns_of(second))


def make_mosaic(n=5):
    """A mosaic of disks with their positions and sizes."""
    shape = (400, 400)
    rng = np.random.default_rng(3)
    x, y = rng.uniform(80, 320, (2, n))
    light = sum(
        sersic_image(shape, r_eff=4, flux=3000, position=where, axis_ratio=q)
        for *where, q in zip(x, y, rng.uniform(0.3, 1, n), strict=True)
    )
    wcs = make_wcs(shape, scale=0.4)
    return (add_noise(light, 0.5), wcs), wcs.pixel_to_world(x, y)


class TestConstruction:
    def test_repr(self, tiny_card):
        shown = repr(MorphologyClassifier('some.weights', 'cpu', batch_size=16))
        assert shown == (
            "MorphologyClassifier('some.weights', 'cpu', precision='float32', "
            'batch_size=16, n_transforms=1)'
        )

    def test_defaults_are_those_of_the_settings(self):
        with conf.set_temp('device', 'cuda'), conf.set_temp('batch_size', 3):
            classifier = MorphologyClassifier()
        assert classifier.weights == conf.default_weights == 'compact.gz2'
        assert (classifier.device, classifier.batch_size) == ('cuda', 3)
        assert (classifier.precision, classifier.n_transforms) == ('float32', 1)
        assert classifier.n_workers >= 1

    def test_options_are_given_by_name(self):
        with pytest.raises(TypeError, match='positional'):
            MorphologyClassifier('a', 'cpu', 'float32')

    def test_is_lazy(self):
        code = (
            'import sys, galmorph\n'
            'c = galmorph.MorphologyClassifier("no.such.weights", "no device")\n'
            'repr(c)\n'
            'loaded = {"torch", "photutils", "astroquery", "matplotlib", "reproject"}\n'
            'assert not loaded & set(sys.modules), loaded & set(sys.modules)\n'
        )
        subprocess.run([sys.executable, '-W', 'error', '-c', code], check=True)

    def test_what_it_brings(self, classifier):
        assert classifier.card.name == 'tiny.gz2'
        assert classifier.schema.name == 'gz2'
        assert classifier.recipe == Recipe()
        assert '@article{Tiny2026,' in classifier.citation()
        assert 'galmorph' in classifier.citation()

    def test_random_numbers_of_the_user_are_left_alone(self, classifier):
        torch.manual_seed(1)
        wanted = torch.rand(3)
        torch.manual_seed(1)
        assert classifier.engine is classifier.engine
        assert torch.equal(torch.rand(3), wanted)

    def test_layout_of_the_network_survives_the_weights(self, classifier):
        class Permuted(TinyNetwork):
            def __init__(self, structure):
                super().__init__(structure)
                weight = self.linear.weight.data.t().contiguous().t()
                self.linear.weight = torch.nn.Parameter(weight)

        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(
                sys.modules['galmorph.networks.registry']._registered, 'tiny', Permuted
            )
            assert classifier.engine.network.linear.weight.stride(0) == 1


class TestFaultyWeights:
    def use(self, weights):
        MorphologyClassifier(weights, 'cpu').predict(STAMPS[0])

    def test_unknown_name(self):
        with pytest.raises(WeightsError, match="did you mean 'dieleman"):
            self.use('dieleman.gz3')
        with pytest.raises(WeightsError, match=r"known are .*'dieleman"):
            self.use('xyz')

    def change(self, tmp_path, structure, **changes):
        path = make_tiny_card(tmp_path, structure=structure)
        content = yaml.safe_load(path.read_text(encoding='utf-8'))
        path.write_text(yaml.safe_dump({**content, **changes}), encoding='utf-8')
        return path

    @pytest.mark.parametrize(
        ('changes', 'match'),
        [
            ({'network': {'name': 'dielman'}}, "unknown network 'dielman'; did you"),
            ({'schema': 'gz3'}, "unknown schema 'gz3'"),
            ({'sha256': '0' * 64}, '(?i)sha-?256|hash'),
            ({'recipe': {'colour': 'red'}}, r"recipe of .* has no \['colour'\]"),
            ({'recipe': {'step': 'wide'}}, 'recipe of the weights'),
            (
                {'network': {'name': 'tiny', 'options': {'depth': 3}}},
                "do not fit the network 'tiny' of their card: .*'depth'",
            ),
            (
                {'network': {'name': 'tiny', 'options': {'n_view': 1}}},
                '(?s)do not fit the network .*size mismatch',
            ),
            (
                {'network': {'name': 'dieleman', 'options': {'dense': [8]}}},
                '(?s)do not fit the network .*Missing key',
            ),
        ],
    )
    def test_card(self, classifier, tmp_path, changes, match):
        path = self.change(tmp_path, classifier.schema.structure, **changes)
        with pytest.raises(WeightsError, match=match):
            self.use(path)

    def test_truncated_file(self, classifier, tmp_path):
        path = make_tiny_card(tmp_path, structure=classifier.schema.structure)
        file = tmp_path / 'tiny.gz2.safetensors'
        file.write_bytes(file.read_bytes()[:-100])
        with pytest.raises(WeightsError, match=r'tiny\.gz2\.safetensors'):
            self.use(path)
        file.unlink()
        with pytest.raises(WeightsError, match='is not there'):
            self.use(path)

    @pytest.mark.parametrize(
        ('options', 'match'),
        [
            ({'device': 'abacus'}, "device 'abacus' is not known"),
            ({'precision': 'fp16'}, 'needs a GPU'),
            ({'batch_size': 0}, 'batch_size must be at least 1'),
            ({'n_transforms': 0}, 'n_transforms must be a whole number'),
            ({'n_workers': 0}, 'n_workers must be at least 1'),
        ],
    )
    def test_settings(self, tiny_card, options, match):
        classifier = MorphologyClassifier(tiny_card, **{'device': 'cpu', **options})
        with pytest.raises(ValueError, match=match):
            classifier.predict(STAMPS[0])


class TestPredict:
    def test_one_and_many_are_the_same(self, classifier):
        many = classifier.predict(list(STAMPS))
        assert isinstance(many, QTable)
        assert len(many) == 12
        for row, stamp in enumerate(STAMPS):
            (one,) = columns_of(classifier.predict(stamp))
            np.testing.assert_allclose(one, columns_of(many)[row], atol=1e-5)

    @pytest.mark.parametrize('batch_size', [1, 5, 64])
    @pytest.mark.parametrize('n_workers', [1, 4])
    def test_batches_and_threads_do_not_matter(
        self, classifier, tiny_card, batch_size, n_workers
    ):
        other = MorphologyClassifier(
            tiny_card, 'cpu', batch_size=batch_size, n_workers=n_workers
        )
        stamps = [*STAMPS, *draw_stamps(5, size=61)]
        np.testing.assert_allclose(
            columns_of(other.predict(stamps)),
            columns_of(classifier.predict(stamps)),
            atol=1e-5,
        )

    def test_threads_and_repetition_are_exact(self, tiny_card):
        tables = [
            MorphologyClassifier(tiny_card, 'cpu', batch_size=5, n_workers=n).predict(
                list(STAMPS)
            )
            for n in (1, 4, 4)
        ]
        assert_same(tables[0], tables[1])
        assert_same(tables[1], tables[2])

    def test_order_does_not_matter(self, classifier):
        forward = columns_of(classifier.predict(list(STAMPS)))
        backward = columns_of(classifier.predict(list(STAMPS[::-1])))
        np.testing.assert_allclose(backward[::-1], forward, atol=1e-5)

    def test_answers_are_those_of_the_network(self, classifier):
        path = classifier.classify(list(STAMPS)).probabilities.data
        np.testing.assert_allclose(path[:, :3].sum(1), 1, atol=1e-6)
        assert np.ptp(path, axis=0).max() > 0.1

    @pytest.mark.parametrize('kind', [list, tuple, np.array])
    def test_containers(self, classifier, kind):
        assert len(classifier.predict(kind(list(STAMPS[:3])))) == 3

    def test_nothing(self, classifier):
        table = classifier.predict([])
        assert len(table) == 0
        assert table.colnames == classifier.predict(STAMPS[0]).colnames

    def test_kinds_of_images(self, classifier, tmp_path):
        Image.fromarray(STAMPS[0]).save(tmp_path / 'größe ☆.png')
        flux = add_noise(sersic_image((80, 80), r_eff=4, flux=1000), 0.2)
        wcs = make_wcs((80, 80))
        fits.writeto(tmp_path / 'ångström.fits', flux, wcs.to_header())
        table = classifier.predict(
            [
                STAMPS[0],
                str(tmp_path / 'größe ☆.png'),
                tmp_path / 'ångström.fits',
                (flux, wcs),
                fits.ImageHDU(flux, wcs.to_header()),
                fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(flux, wcs.to_header())]),
                CCDData(flux, unit='adu', wcs=wcs),
                Cutout2D(flux, (40, 40), 80, wcs=wcs, mode='partial', fill_value=0),
                GalaxyImage(flux, wcs=wcs),
                flux,
                {'g': flux, 'r': flux, 'i': flux},
            ]
        )
        assert not table['morphology_class'].mask.any()
        answers = columns_of(table)
        np.testing.assert_array_equal(answers[0], answers[1])
        np.testing.assert_allclose(answers[3:6], answers[[2]].repeat(3, 0), atol=1e-5)

    def test_colour_of_a_single_image_and_hdu(self, classifier, tmp_path):
        flux = add_noise(sersic_image((80, 80), r_eff=4, flux=1000), 0.2)
        hdus = [fits.PrimaryHDU(np.zeros((3, 3))), fits.ImageHDU(flux, name='SCI')]
        fits.HDUList(hdus).writeto(tmp_path / 'two.fits')
        table = classifier.predict(
            tmp_path / 'two.fits', hdu='SCI', bands=['r'], unit='nmgy'
        )
        flags = MorphologyFlag(int(table['morphology_flags'][0]))
        assert MorphologyFlag.SINGLE_BAND in flags
        assert MorphologyFlag.OTHER_INSTRUMENT not in flags

    @pytest.mark.parametrize('size', [6 * u.pix, [6] * 3 * u.pix])
    def test_size_for_all_or_for_each(self, classifier, size):
        images = [GalaxyImage(stamp[..., 0].astype(float)) for stamp in STAMPS[:3]]
        own = [image.at(image.position, 6 * u.pix) for image in images]
        given = classifier.predict(images, size=size)
        assert_same(given, classifier.predict(own))
        assert not (given['morphology_flags'] & MorphologyFlag.SIZE_MEASURED).any()

    def test_size_of_one(self, classifier):
        image = STAMPS[0][..., 0].astype(float)
        for size in (6 * u.pix, [6] * u.pix):
            flags = classifier.predict(image, size=size)['morphology_flags'][0]
            assert not flags & MorphologyFlag.SIZE_MEASURED

    def test_size_matters(self, classifier):
        image = STAMPS[0][..., 0].astype(float)
        small, large = (
            columns_of(classifier.predict(image, size=size * u.pix)) for size in (4, 9)
        )
        assert np.nanmax(abs(small - large)) > 0.01

    def test_unknown_sizes_are_measured(self, classifier):
        images = [stamp[..., 0].astype(float) for stamp in STAMPS[:3]]
        table = classifier.predict(images, size=[np.nan, -1, 6] * u.pix)
        measured = table['morphology_flags'] & MorphologyFlag.SIZE_MEASURED > 0
        assert measured.tolist() == [True, True, False]

    @pytest.mark.parametrize(
        ('options', 'error', 'match'),
        [
            ({'columns': 'edge'}, ValueError, "columns must be 'all', 'best'"),
            ({'size': 'petroR90_r'}, ValueError, 'size must be a Quantity'),
            ({'size': 5}, ValueError, 'size must be an angle'),
            ({'size': [5, 6] * u.pix}, ValueError, 'size has 2 values, for 1 rows'),
            ({'unit': 'nanobanana'}, ValueError, 'nanobanana'),
        ],
    )
    def test_faults_are_found_before_the_work(
        self, classifier, monkeypatch, options, error, match
    ):
        monkeypatch.setattr(stream, 'classify', None)
        with pytest.raises(error, match=match):
            classifier.predict(STAMPS[0], **options)

    def test_tables_are_sent_on(self, classifier):
        with pytest.raises(TypeError, match='predict_table takes tables'):
            classifier.predict(Table({'image': STAMPS}))

    def test_columns(self, classifier):
        best = classifier.predict(STAMPS[0], columns='best')
        assert best.colnames[:2] == ['morphology_class', 'morphology_probability']
        edgeon = classifier.predict(STAMPS[0], columns=['edgeon'])
        assert edgeon.colnames[:2] == ['edgeon_yes', 'edgeon_no']

    def test_unsupported_questions_are_masked(self, classifier):
        table = classifier.predict(list(STAMPS))
        for question in classifier.schema.questions:
            for name in classifier.schema.columns[question.start : question.stop]:
                assert table[name].mask.all() == (question.name not in QUESTIONS)

    def test_provenance(self, classifier):
        meta = classifier.predict(STAMPS[0]).meta
        card = classifier.card
        assert (meta['GM_WGHTS'], meta['GM_SHA']) == ('tiny.gz2', card.sha256)
        assert meta['GM_RECIP'] == Recipe().hash
        assert meta['GM_PREC'] == 'float32'
        assert meta['GM_DATE'].endswith('+00:00')
        assert '"n_transforms": 1' in meta['GM_PROV']

    def test_device_in_the_provenance_is_the_one_that_was_used(
        self, tiny_card, monkeypatch
    ):
        monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
        monkeypatch.setattr(torch.backends.mps, 'is_available', lambda: False)
        table = MorphologyClassifier(tiny_card, 'auto').predict(STAMPS[0])
        assert table.meta['GM_DEVIC'] == 'cpu'

    def test_good_input_is_silent(self, classifier, capfd):
        images = [*STAMPS, sersic_image((64, 64), r_eff=4)]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            classifier.predict(images)
        assert caught == []
        assert capfd.readouterr() == ('', '')

    def test_progress_bar(self, classifier, capfd):
        classifier.predict(list(STAMPS), progress_bar=True)
        assert '12/12' in capfd.readouterr().err

    def test_bfloat16(self, classifier, tiny_card):
        half = MorphologyClassifier(tiny_card, 'cpu', precision='bf16')
        table = half.predict(list(STAMPS), columns=['smooth_or_features'])
        wanted = classifier.predict(list(STAMPS), columns=['smooth_or_features'])
        np.testing.assert_allclose(columns_of(table), columns_of(wanted), atol=0.05)
        assert table.meta['GM_PREC'] == 'bf16'


class TestTransforms:
    def test_mean_and_deviation(self, classifier, tiny_card):
        turned = MorphologyClassifier(tiny_card, 'cpu', n_transforms=8)
        predictions = turned.classify(list(STAMPS))
        path = predictions.probabilities.data
        assert predictions.std.shape == path.shape == (12, 37)
        assert 0.005 < np.nanmean(predictions.std[:, :3]) < 0.3
        plain = classifier.classify(list(STAMPS)).probabilities.data
        assert 0 < abs(path - plain).max() < 0.5
        table = turned.predict(list(STAMPS))
        assert 'edgeon_yes_std' in table.colnames
        assert '"n_transforms": 8' in table.meta['GM_PROV']

    def test_mean_obeys_the_tree(self, tiny_card):
        turned = MorphologyClassifier(tiny_card, 'cpu', n_transforms=8)
        path = turned.classify(list(STAMPS)).probabilities.data
        for start, stop, parent in turned.schema.structure:
            wanted = path[:, parent] if parent >= 0 else 1
            assert abs(path[:, start:stop].sum(1) - wanted).max() < 1e-5

    def test_deviation_columns_that_exist_are_found_before_the_work(
        self, tiny_card, monkeypatch
    ):
        monkeypatch.setattr(stream, 'classify', None)
        turned = MorphologyClassifier(tiny_card, 'cpu', n_transforms=2)
        table = Table({'image': STAMPS, 'edgeon_yes_std': np.zeros(12)})
        with pytest.raises(ValueError, match=r'already has .* edgeon_yes_std'):
            turned.predict_table(table)


class TestPredictTable:
    def test_column_of_arrays(self, classifier):
        table = Table({'id': np.arange(12), 'image': STAMPS})
        annotated = classifier.predict_table(table)
        assert isinstance(annotated, QTable)
        assert annotated.colnames[:2] == ['id', 'image']
        assert annotated['id'].tolist() == list(range(12))
        wanted = classifier.predict(list(STAMPS))
        np.testing.assert_array_equal(
            columns_of(annotated['smooth_or_features_smooth',]),
            columns_of(wanted['smooth_or_features_smooth',]),
        )
        assert table.colnames == ['id', 'image']

    def test_column_of_paths(self, classifier, tmp_path):
        paths = [str(tmp_path / f'gälaxy {i}.png') for i in range(3)]
        for path, stamp in zip(paths, STAMPS, strict=False):
            Image.fromarray(stamp).save(path)
        paths[1:1] = [str(tmp_path / 'missing.png'), '']
        wanted = classifier.predict(paths)
        for name in ('path', 'picture'):
            image = None if name == 'path' else name
            annotated = classifier.predict_table(Table({name: paths}), image=image)
            np.testing.assert_array_equal(
                annotated['morphology_flags'], wanted['morphology_flags']
            )
        assert wanted['morphology_class'].mask.tolist() == [0, 1, 1, 0, 0]
        assert 'missing.png' in annotated['morphology_reason'][1]

    def test_column_of_objects(self, classifier):
        column = np.empty(4, object)
        column[:] = [GalaxyImage(STAMPS[0].transpose(2, 0, 1), is_picture=True), None,
                     {'r': STAMPS[0][..., 0].astype(float)}, 3.5]  # fmt: skip
        annotated = classifier.predict_table(Table({'image': column}))
        assert annotated['morphology_class'].mask.tolist() == [0, 1, 0, 1]
        assert annotated['morphology_flags'][1] == MorphologyFlag.MISSING_IMAGE

    def test_masked_rows(self, classifier):
        mask = np.zeros(STAMPS.shape, bool)
        mask[4] = True
        table = Table({'image': MaskedColumn(STAMPS, mask=mask)})
        annotated = classifier.predict_table(table)
        assert np.flatnonzero(annotated['morphology_class'].mask).tolist() == [4]
        assert annotated['morphology_flags'][4] == MorphologyFlag.MISSING_IMAGE

    def test_unit_of_the_column(self, classifier, monkeypatch):
        seen = []
        prepare = classifier.engine.prepare
        monkeypatch.setattr(
            classifier.engine, 'prepare', lambda i, t: seen.append(i) or prepare(i, t)
        )
        data = STAMPS[:2, ..., 0].astype(float)
        plain = Table({'image': data})
        plain['image'].unit = u.nJy
        for table in (plain, QTable(plain)):
            classifier.predict_table(table, bands=['r'])
        classifier.predict_table(plain, unit='uJy', bands=['g'])
        assert [str(i.unit) for i in seen] == ['nJy'] * 4 + ['uJy'] * 2
        assert seen[0].bands == ('r',)
        assert seen[-1].bands == ('g',)

    @pytest.mark.parametrize('unit', [None, u.arcsec, u.pix])
    def test_sizes(self, classifier, unit):
        mosaic, coords = make_mosaic(4)
        sizes = MaskedColumn([4.0, -9999.0, np.nan, 4.0], mask=[0, 0, 0, 1], unit=unit)
        table = Table({'where': coords, 'petroR90_r': sizes})
        annotated = classifier.predict_table(table, mosaic=mosaic, size='petroR90_r')
        measured = annotated['morphology_flags'] & MorphologyFlag.SIZE_MEASURED > 0
        assert measured.tolist() == [False, True, True, True]

    def test_given_sizes(self, classifier):
        mosaic, coords = make_mosaic(4)
        table = Table({'where': coords})
        one = classifier.predict_table(table, mosaic=mosaic, size=4 * u.arcsec)
        each = classifier.predict_table(table, mosaic=mosaic, size=[10] * 4 * u.pix)
        np.testing.assert_allclose(columns_of(one), columns_of(each), atol=1e-5)

    def test_positions_of_any_frame(self, classifier):
        mosaic, coords = make_mosaic()
        tables = [
            Table({'ra': coords.ra.deg, 'dec': coords.dec.deg}),
            Table({'ra': coords.ra.hourangle * u.hourangle, 'dec': coords.dec}),
            QTable({'c': coords.galactic}),
            Table({'c': coords.fk5}),
        ]
        first, *others = (
            columns_of(classifier.predict_table(table, mosaic=mosaic))
            for table in tables
        )
        assert np.isfinite(first[:, 0]).all()
        for other in others:
            np.testing.assert_allclose(other, first, atol=1e-4)

    def test_mosaic_is_read_as_asked(self, classifier, tmp_path):
        (data, wcs), coords = make_mosaic()
        path = tmp_path / 'mosaic.fits'
        header = wcs.to_header()
        hdus = [fits.PrimaryHDU(), fits.ImageHDU(data * 0, header)]
        fits.HDUList([*hdus, fits.ImageHDU(data, header, name='SCI')]).writeto(path)
        table = Table({'c': coords})
        read = classifier.predict_table(table, mosaic=path, hdu='SCI', bands=['r'])
        given = classifier.predict_table(table, mosaic=Mosaic((data, wcs), bands=['r']))
        np.testing.assert_allclose(columns_of(read), columns_of(given), atol=1e-5)

    def test_faulty_positions(self, classifier):
        mosaic, coords = make_mosaic(3)
        ra, dec = coords.ra.deg.copy(), coords.dec.deg.copy()
        ra[0], dec[1] = np.nan, 0
        ra = MaskedColumn(np.append(ra, ra[2]), mask=[0, 0, 0, 1])
        table = Table({'ra': ra, 'dec': np.append(dec, dec[2])})
        annotated = classifier.predict_table(table, mosaic=mosaic)
        bad, outside = MorphologyFlag.BAD_COORDINATES, MorphologyFlag.OUTSIDE_IMAGE
        flags = annotated['morphology_flags']
        assert flags[[0, 1, 3]].tolist() == [bad, outside, bad]
        assert annotated['morphology_class'].mask.tolist() == [1, 1, 0, 1]

    def test_error_in_one_measurement_costs_its_row(self, classifier, monkeypatch):
        from galmorph.inference import catalog

        measure = catalog.measure_image

        def sometimes(image):
            if image.position[0] % 1 < 0.5:
                msg = 'labels'
                raise KeyError(msg)
            return measure(image)

        monkeypatch.setattr(catalog, 'measure_image', sometimes)
        mosaic, coords = make_mosaic(12)
        annotated = classifier.predict_table(Table({'c': coords}), mosaic=mosaic)
        failed = annotated['morphology_class'].mask
        assert 0 < failed.sum() < 12
        assert set(annotated['morphology_reason'][failed]) == {"KeyError: 'labels'"}

    def test_rest_of_the_table_is_kept(self, classifier):
        table = Table(
            {'image': STAMPS, 'z': MaskedColumn(np.arange(12.0), unit='km/s')}
        )
        table['z'].mask[3] = True
        table['z'].info.description = 'speed'
        table['name'] = [f'g{i:02d}' for i in range(12)]
        table.meta['origin'] = {'nested': 1}
        table.add_index('name')
        before = io.StringIO()
        table['z', 'name'].write(before, format='ascii.ecsv')
        annotated = classifier.predict_table(table)
        assert annotated['z'].unit == u.km / u.s
        assert annotated['z'].mask.tolist() == table['z'].mask.tolist()
        assert annotated['z'].info.description == 'speed'
        assert annotated.meta['origin'] == {'nested': 1}
        assert annotated.loc['g07']['name'] == 'g07'
        after = io.StringIO()
        table['z', 'name'].write(after, format='ascii.ecsv')
        assert before.getvalue() == after.getvalue()
        assert table.colnames == ['image', 'z', 'name']
        assert 'GM_WGHTS' not in table.meta
        np.testing.assert_array_equal(table['image'], STAMPS)

    def test_existing_column_is_found_before_the_work(self, classifier, monkeypatch):
        table = Table({'image': STAMPS, 'edgeon_yes': np.zeros(12)})
        with monkeypatch.context() as patch:
            patch.setattr(stream, 'classify', None)
            with pytest.raises(ValueError, match='already has the columns edgeon_yes'):
                classifier.predict_table(table)
        replaced = classifier.predict_table(table, overwrite=True)
        assert replaced['edgeon_yes'].max() > 0
        assert (table['edgeon_yes'] == 0).all()
        other = classifier.predict_table(table, columns=['smooth_or_features'])
        assert (other['edgeon_yes'] == 0).all()

    @pytest.mark.parametrize(
        ('options', 'error', 'match'),
        [
            ({'columns': 'nose'}, ValueError, 'columns must be'),
            ({'image': 'picture'}, ValueError, "image='picture' is no column"),
            ({'size': 'r90'}, ValueError, "size='r90' is no column"),
            ({'size': 3 * u.kg}, ValueError, "not in 'kg'"),
            ({'mosaic': np.eye(50)}, ValueError, 'has no positions'),
            ({'mosaic': np.eye(50), 'image': 'image'}, ValueError, 'not both'),
            ({'unit': 'nanobanana'}, ValueError, 'nanobanana'),
        ],
    )
    def test_faults_are_found_before_the_work(
        self, classifier, monkeypatch, options, error, match
    ):
        monkeypatch.setattr(stream, 'classify', None)
        with pytest.raises(error, match=match):
            classifier.predict_table(Table({'image': STAMPS}), **options)

    def test_mosaic_must_have_a_wcs(self, classifier):
        table = Table({'ra': [1.0], 'dec': [1.0]})
        with pytest.raises(ImageError, match='no celestial WCS'):
            classifier.predict_table(table, mosaic=np.eye(50))
        with pytest.raises(ImageError, match='no_such'):
            classifier.predict_table(table, mosaic='no_such.fits')

    @pytest.mark.parametrize('table', [[], {'path': ['a']}, 'table.fits', None])
    def test_table_must_be_one(self, classifier, table):
        with pytest.raises(TypeError, match='must be an astropy Table, not'):
            classifier.classify_table(table)

    @pytest.mark.parametrize(
        ('table', 'text'),
        [([], 'no table'), ({'path': ['a']}, 'not dict'), ('table.fits', 'table.fits')],
    )
    def test_table_or_files(self, classifier, table, text):
        with pytest.raises((TypeError, ValueError, FileNotFoundError), match=text):
            classifier.predict_table(table)

    def test_empty_tables(self, classifier):
        tables = [
            Table({'path': np.empty(0, 'U1')}),
            Table({'image': np.empty((0, 48, 48, 3), np.uint8)}),
            Table({'image': np.empty(0, object)}),
            Table({'image': MaskedColumn(np.empty(0, 'U1'))}),
        ]
        for table in tables:
            annotated = classifier.predict_table(table)
            assert len(annotated) == 0
            assert 'edgeon_yes' in annotated.colnames
        empty = Table({'ra': np.empty(0), 'dec': np.empty(0)})
        assert len(classifier.predict_table(empty, mosaic=make_mosaic()[0])) == 0

    def test_one_row(self, classifier):
        annotated = classifier.predict_table(Table({'image': STAMPS[:1]}))
        wanted = classifier.predict(STAMPS[0])
        assert annotated['edgeon_yes'][0] == wanted['edgeon_yes'][0]

    def test_duplicate_rows(self, classifier):
        table = Table({'id': [7, 7, 7, 8], 'image': STAMPS[[3, 3, 3, 5]]})
        answers = columns_of(classifier.predict_table(table))
        np.testing.assert_allclose(answers[1], answers[0], atol=1e-5)
        np.testing.assert_allclose(answers[2], answers[0], atol=1e-5)
        assert abs(answers[3] - answers[0])[:3].max() > 1e-3

    def test_rows_that_are_masked_skycoords(self, classifier):
        mosaic, coords = make_mosaic(2)
        ra = [coords.ra.deg[0], np.nan]
        where = SkyCoord(ra, coords.dec.deg, unit='deg')
        annotated = classifier.predict_table(Table({'c': where}), mosaic=mosaic)
        assert annotated['morphology_class'].mask.tolist() == [False, True]
