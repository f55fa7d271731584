# Licensed under a 3-clause BSD style license - see LICENSE.rst
import errno
import itertools
import os
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.table import Column, MaskedColumn, QTable

from galmorph import GalaxyImage, MorphologyClassifier, files
from galmorph.exceptions import ChangedFileError
from galmorph.inference.resumable import working
from galmorph.inference.resumable.chunks import ChunkStore
from galmorph.inference.resumable.manifest import ManifestError
from galmorph.sources import ImageSource
from galmorph.tables import TableWriter
from tests.helpers.tables import assert_same_table

pytestmark = pytest.mark.usefixtures('small_chunks')


class Killed(BaseException):
    """What stands for the end of the process."""


class TestOutput:
    @pytest.mark.parametrize('name', ['out.parquet', 'out.fits'])
    @pytest.mark.parametrize('columns', ['all', 'best', 'edgeon'])
    def test_is_what_predict_table_returns(
        self, classifier, table, tmp_path, name, columns
    ):
        path = tmp_path / name
        assert classifier.predict_table(table, columns=columns, output=path) == path
        wanted = classifier.predict_table(table, columns=columns)
        assert_same_table(QTable.read(path), wanted, is_fits=name == 'out.fits')
        assert not list(tmp_path.glob('*.run'))

    def test_summary(self, classifier, table, tmp_path):
        summary = classifier.annotate_file(table, tmp_path / 'out.parquet')
        assert (summary.n_rows, summary.n_predicted) == (30, 29)
        assert summary.flags == {'UNREADABLE_IMAGE': 1, 'FRAME_ASSUMED': 29}

    def test_file_in_file_out(self, classifier, table, tmp_path):
        table.write(tmp_path / 'in.ecsv')
        classifier.predict_table(tmp_path / 'in.ecsv', output=tmp_path / 'out.parquet')
        classifier.predict_table(table, output=tmp_path / 'same.parquet')
        written = [
            QTable.read(tmp_path / name) for name in ('out.parquet', 'same.parquet')
        ]
        for some in written:
            del some.meta['GM_RUN']
        assert_same_table(*written)

    def test_table_of_a_file_in_memory(self, classifier, table, tmp_path):
        table.write(tmp_path / 'in.parquet')
        annotated = classifier.predict_table(tmp_path / 'in.parquet', columns='best')
        assert_same_table(annotated, classifier.predict_table(table, columns='best'))

    def test_no_rows(self, classifier, table, tmp_path):
        path = classifier.predict_table(table[:0], output=tmp_path / 'out.parquet')
        wanted = classifier.predict_table(table[:0])
        assert QTable.read(path).colnames == wanted.colnames
        assert len(QTable.read(path)) == 0

    def test_spread_is_kept(self, tiny_card, table, tmp_path):
        classifier = MorphologyClassifier(tiny_card, device='cpu', n_transforms=4)
        path = classifier.predict_table(table, output=tmp_path / 'out.parquet')
        assert_same_table(QTable.read(path), classifier.predict_table(table))

    def test_the_same_work_gives_the_same_bytes(self, classifier, table, tmp_path):
        paths = [tmp_path / 'a.parquet', tmp_path / 'b.parquet']
        for path in paths:
            classifier.predict_table(table, output=path)
        assert paths[0].read_bytes() == paths[1].read_bytes()

    def test_chunks_do_not_change_answers(self, classifier, table, tmp_path):
        path = classifier.predict_table(table, output=tmp_path / 'out.parquet')
        wanted = classifier.predict_table(table)
        name = 'edgeon_yes'
        np.testing.assert_allclose(
            QTable.read(path)[name].filled(-1), wanted[name].filled(-1), atol=1e-6
        )


class TestRefused:
    def test_existing_output(self, classifier, table, tmp_path):
        path = tmp_path / 'out.parquet'
        path.write_text('mine')
        with pytest.raises(FileExistsError, match='overwrite=True replaces it'):
            classifier.predict_table(table, output=path)
        assert path.read_text() == 'mine'
        classifier.predict_table(table, output=path, overwrite=True)
        assert len(QTable.read(path)) == 30

    @pytest.mark.parametrize('name', ['out.ecsv', 'out', 'out.csv'])
    def test_formats_that_cannot_be_streamed(self, classifier, table, tmp_path, name):
        with pytest.raises(ValueError, match=r'must end in .parquet or .fits'):
            classifier.predict_table(table, output=tmp_path / name)

    def test_missing_folder(self, classifier, table, tmp_path):
        with pytest.raises(FileNotFoundError, match='of the output is not there'):
            classifier.predict_table(table, output=tmp_path / 'no' / 'out.fits')

    def test_folder(self, classifier, table, tmp_path):
        with pytest.raises(IsADirectoryError, match='is a folder; name a file'):
            classifier.predict_table(table, output=tmp_path)

    def test_options_of_files(self, classifier, table):
        for options in ({'resume': True}, {'n_processes': 2}):
            with pytest.raises(ValueError, match='need output='):
                classifier.predict_table(table, **options)

    def test_sizes_that_are_no_column(self, classifier, table, tmp_path):
        with pytest.raises(ValueError, match='name of a column, or one for all'):
            classifier.predict_table(
                table, size=table['distance'].value * 1.0, output=tmp_path / 'a.fits'
            )

    @pytest.mark.parametrize('columns', ['none', ['edgeon', 'edgeon']])
    def test_nothing_is_left_behind(self, classifier, table, tmp_path, columns):
        with pytest.raises(ValueError, match='columns must be'):
            classifier.predict_table(
                table, columns=columns, output=tmp_path / 'out.parquet'
            )
        assert not list(tmp_path.glob('out*'))

    @pytest.mark.parametrize(
        ('column', 'match'),
        [
            (Column([{}] * 30, 'a'), "cannot hold column 'a' of object"),
            (Column([0] * 30, 'α'), 'name of column .α.; write .parquet'),
            (Column([*'a' * 29, 'α'], 'a'), "'a': FITS .* not 'α'; write .parquet"),
            (
                MaskedColumn([0, -32768] * 15, 'a', mask=[1, 0] * 15, dtype='i2'),
                "'a' has the value -32768, .* write .parquet",
            ),
        ],
    )
    def test_what_fits_cannot_hold(self, classifier, table, tmp_path, column, match):
        table.add_column(column)
        with pytest.raises(ValueError, match=match):
            classifier.predict_table(table, output=tmp_path / 'out.fits')
        # Nothing was classified in vain.
        assert not list(tmp_path.glob('out*'))

    @pytest.mark.parametrize(
        ('values', 'match'),
        [
            (np.array([Path()] * 30), "'a' cannot be kept in Parquet: .*Path"),
            ([*'a' * 29, os.fsdecode(b'\xe9')], "'a' has a string that is not UTF-8"),
            ([1j] * 30, "'a' cannot be kept in Parquet"),
        ],
    )
    def test_what_parquet_cannot_hold(self, classifier, table, tmp_path, values, match):
        table['a'] = values
        with pytest.raises(ValueError, match=match):
            classifier.predict_table(table, output=tmp_path / 'out.parquet')
        assert not list(tmp_path.glob('out*'))

    def test_what_is_overwritten_need_not_fit(self, classifier, table, tmp_path):
        table['morphology_class'] = 'α'
        options = {'output': tmp_path / 'out.fits', 'columns': 'best'}
        path = classifier.predict_table(table, overwrite=True, **options)
        assert len(QTable.read(path)) == 30

    def test_answers_outlive_the_format(self, classifier, table, tmp_path, monkeypatch):
        def fail(*_):
            msg = 'no room for a column'
            raise ValueError(msg)

        with monkeypatch.context() as patched:
            patched.setattr(TableWriter, 'write', fail)
            with pytest.raises(
                ValueError,
                match=r"for a column\. All .* rename it to 'out.parquet.run'",
            ):
                classifier.predict_table(table, output=tmp_path / 'out.fits')
        (tmp_path / 'out.fits.run').rename(tmp_path / 'out.parquet.run')
        for path in tmp_path.glob('*.png'):
            path.unlink()
        summary = classifier.annotate_file(table, tmp_path / 'out.parquet', resume=True)
        assert summary.n_predicted == 29

    def test_missing_table(self, classifier, tmp_path):
        with pytest.raises(FileNotFoundError, match='lost'):
            classifier.predict_table(
                tmp_path / 'lost.fits', output=tmp_path / 'out.fits'
            )
        assert not list(tmp_path.iterdir())

    def test_processes_must_be_some(self, classifier, table, tmp_path):
        with pytest.raises(ValueError, match='n_processes must be at least 1, not 0'):
            classifier.predict_table(
                table, n_processes=0, output=tmp_path / 'out.parquet'
            )

    def test_two_at_once(self, classifier, table, tmp_path):
        path = tmp_path / 'out.parquet'
        path.with_name('out.parquet.run').mkdir()
        with (
            files.hold_lock(tmp_path / 'out.parquet.run' / 'lock', 'it'),
            pytest.raises(BlockingIOError, match='is going on in another process'),
        ):
            classifier.predict_table(table, output=path, resume=True)


def stop_after(monkeypatch, number):
    """Let the process end when it wants to change the disk for the n-th time."""
    count = itertools.count()

    def dying(function):
        def call(*args, **kwargs):
            if next(count) == number:
                raise Killed
            return function(*args, **kwargs)

        return call

    monkeypatch.setattr(os, 'fsync', dying(os.fsync))
    monkeypatch.setattr(Path, 'replace', dying(Path.replace))
    monkeypatch.setattr(Path, 'unlink', dying(Path.unlink))
    return count


class TestResume:
    def test_killed_at_any_moment(self, classifier, table, tmp_path):
        whole = classifier.predict_table(table, output=tmp_path / 'whole.parquet')
        path = tmp_path / 'out.parquet'
        n_kills = 0
        while True:
            with pytest.MonkeyPatch.context() as patch:
                # One step further each time, though the run starts anew each time:
                # so that it dies in all of its parts.
                stop_after(patch, n_kills % 7)
                try:
                    classifier.predict_table(table, output=path, resume=True)
                    break
                except Killed:
                    n_kills += 1
        assert n_kills > 10
        assert path.read_bytes() == whole.read_bytes()
        assert [p.name for p in tmp_path.glob('out*')] == ['out.parquet']

    def test_goes_on_behind_the_last_chunk(
        self, classifier, table, tmp_path, monkeypatch
    ):
        path = tmp_path / 'out.parquet'
        asked = []
        inputs = working.Work.pending.fget
        monkeypatch.setattr(
            working.Work,
            'pending',
            property(lambda w: asked.append(inputs(w)) or inputs(w)),
        )
        with monkeypatch.context() as patch:
            save = ChunkStore.save

            def die(store, number, answers):
                if number == 5:
                    raise Killed
                save(store, number, answers)

            patch.setattr(ChunkStore, 'save', die)
            with pytest.raises(Killed):
                classifier.predict_table(table, output=path)
        with pytest.raises(FileExistsError, match='go on with it by resume=True'):
            classifier.predict_table(table, output=path)
        classifier.predict_table(table, output=path, resume=True)
        assert asked[-1] == [5, 6, 7]

    def test_finished_runs_are_left_alone(self, classifier, table, tmp_path):
        path = classifier.predict_table(table, output=tmp_path / 'out.parquet')
        before = path.stat()
        summary = classifier.annotate_file(table, path, resume=True)
        assert summary.was_done
        assert path.stat().st_mtime_ns == before.st_mtime_ns
        assert not list(tmp_path.glob('*.run'))

    def test_damaged_chunks_are_made_anew(
        self, classifier, table, tmp_path, unfinished
    ):
        path = unfinished(tmp_path / 'out.parquet')
        chunks = sorted(tmp_path.glob('out.parquet.run/chunks/*.npz'))
        content = bytearray(chunks[1].read_bytes())
        content[len(content) // 2] ^= 1
        chunks[1].write_bytes(content)
        whole = classifier.predict_table(table, output=tmp_path / 'whole.parquet')
        classifier.predict_table(table, output=path, resume=True)
        assert path.read_bytes() == whole.read_bytes()

    def test_other_calls_are_refused(
        self, classifier, tiny_card, table, tmp_path, unfinished
    ):
        path = unfinished(tmp_path / 'out.parquet')
        for other, some, options, text in [
            (classifier, table[1:], {}, 'table rows: 30 then, 29 now'),
            (
                classifier,
                table,
                {'columns': 'best'},
                "settings columns: 'all' then, 'best'",
            ),
            (
                MorphologyClassifier(tiny_card, device='cpu', n_transforms=2),
                table,
                {},
                'settings n_transforms: 1 then, 2 now',
            ),
        ]:
            with pytest.raises(ManifestError, match=text):
                other.predict_table(some, output=path, resume=True, **options)
        changed = table.copy()
        changed['path'][3] = 'another.png'
        with pytest.raises(ManifestError, match='table content'):
            classifier.predict_table(changed, output=path, resume=True)
        # None of them did harm.
        classifier.predict_table(table, output=path, resume=True)

    def test_other_finished_calls_are_refused(self, classifier, table, tmp_path):
        path = classifier.predict_table(table, output=tmp_path / 'out.parquet')
        with pytest.raises(ManifestError, match='is of another call'):
            classifier.predict_table(table[1:], output=path, resume=True)
        assert len(QTable.read(path)) == 30

    def test_start_anew(self, classifier, table, tmp_path, unfinished):
        path = unfinished(tmp_path / 'out.parquet')
        classifier.predict_table(table[1:], output=path, overwrite=True)
        assert len(QTable.read(path)) == 29


@pytest.fixture
def unfinished(classifier, table, monkeypatch):
    """Return what leaves a run unfinished."""

    def leave(path):
        with monkeypatch.context() as patch:
            save = ChunkStore.save

            def die(store, number, answers):
                if number == 3:
                    raise Killed
                save(store, number, answers)

            patch.setattr(ChunkStore, 'save', die)
            with pytest.raises(Killed):
                classifier.predict_table(table, output=path)
        return path

    return leave


class Stripes(ImageSource):
    """A survey of patterns that tell positions; the last ones come first."""

    name, bands, default_bands = 'stripes', ('r',), ('r',)

    def __init__(self, width=8 * u.pix, **options):
        super().__init__(**options)
        self.width = width

    def fetch_one(self, target):
        y, x = np.mgrid[:64, :64] - 31.5
        light = np.exp(-np.hypot(x, y * (1 + target.ra % 7)) / self.width.value)
        return GalaxyImage(light, bands='r', size=20 * u.pix)


class TestSurvey:
    @pytest.fixture
    def places(self):
        ra = np.random.default_rng(2).uniform(0, 360, 30)
        return QTable({'ra': ra * u.deg, 'dec': np.zeros(30) * u.deg})

    def test_rows_keep_their_order(self, classifier, places, tmp_path):
        survey = Stripes(cache=tmp_path)
        path = classifier.predict_table(
            places, survey=survey, output=tmp_path / 'out.parquet'
        )
        wanted = classifier.predict_table(places, survey=survey)
        assert_same_table(QTable.read(path), wanted)
        assert wanted['edgeon_yes'].std() > 0

    def test_settings_belong_to_the_run(self, classifier, places, tmp_path):
        path = tmp_path / 'out.parquet'
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ChunkStore, 'save', stop)
            with pytest.raises(Killed):
                classifier.predict_table(
                    places, survey=Stripes(cache=tmp_path), output=path
                )
        other = Stripes(9 * u.pix, cache=tmp_path, timeout=3)
        with pytest.raises(ManifestError, match=r'width: .8\.0 pix. then, .9\.0'):
            classifier.predict_table(places, survey=other, output=path, resume=True)
        same = Stripes(cache=tmp_path, timeout=3, n_connections=2)
        classifier.predict_table(places, survey=same, output=path, resume=True)


def stop(*_):
    raise Killed


class TestFaults:
    def test_full_disk(self, classifier, table, tmp_path, monkeypatch):
        path = tmp_path / 'out.parquet'
        with monkeypatch.context() as patch:
            save = ChunkStore.save

            def fill(store, number, answers):
                if number == 3:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                save(store, number, answers)

            patch.setattr(ChunkStore, 'save', fill)
            with pytest.raises(
                OSError, match=r'is full\. 3 chunks of 4 rows are finish'
            ):
                classifier.predict_table(table, output=path)
        classifier.predict_table(table, output=path, resume=True)
        assert len(QTable.read(path)) == 30

    def test_changed_files_keep_what_is_done(
        self, classifier, table, tmp_path, monkeypatch
    ):
        path = tmp_path / 'out.parquet'
        with monkeypatch.context() as patch:
            from galmorph.inference import catalog

            read = catalog.read_image

            def change(image, **options):
                if image == table['path'][17]:
                    msg = 'tile.fits is gone'
                    raise ChangedFileError(msg)
                return read(image, **options)

            patch.setattr(catalog, 'read_image', change)
            with pytest.raises(ChangedFileError, match=r'tile.fits is gone. 4 chunks'):
                classifier.predict_table(table, output=path)
        classifier.predict_table(table, output=path, resume=True)
        assert len(QTable.read(path)) == 30
