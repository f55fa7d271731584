# Licensed under a 3-clause BSD style license - see LICENSE.rst
import gc
import threading
import time
import warnings
import weakref

import numpy as np
import pytest

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.images import read_image
from galmorph.inference.stream import classify
from galmorph.inference.transforms import frame_transforms
from galmorph.preprocessing.prepare import PreparedImage, prepare
from galmorph.preprocessing.recipe import Recipe
from galmorph.schemas import load_schema
from tests.helpers.tiny import draw_stamps

SCHEMA = load_schema('gz2')


class FakeEngine:
    """Answers with the first pixel of each image."""

    has_spread = False
    schema = SCHEMA

    def __init__(self, batch_size=8):
        self.batch_size, self.recipe, self.batches = batch_size, Recipe(), []

    def prepare(self, image, transforms):
        return prepare(image, self.recipe, transforms)

    def run(self, images):
        self.batches.append(len(images))
        values = [image.pixels[0, 0, 0] for image in images]
        shape = (len(images), len(images[0].affines), self.schema.n_answers)
        answers = np.empty(shape, np.float32)
        answers[:] = np.array(values)[:, None, None]
        return answers + np.arange(shape[1])[:, None]

    def run_with_spread(self, images):
        return self.run(images), None, np.zeros(len(images), bool)


class SureEngine(FakeEngine):
    """Knows how far its answers may be off, by 3, and measures attributes."""

    has_spread = True
    schema = load_schema('efigi')

    def run_with_spread(self, images):
        answers = self.run(images)
        return answers, np.full_like(answers, 3), np.zeros(len(images), bool)


class ShortEngine(FakeEngine):
    """Runs out of memory for image number 3."""

    def run_with_spread(self, images):
        answers = self.run(images)
        lost = answers[:, 0, 0] == 3
        answers[lost] = np.nan
        return answers, None, lost


@pytest.fixture
def easy(monkeypatch):
    """Let a number stand for an image, and count the prepared ones."""
    alive = {'now': 0, 'most': 0}
    lock = threading.Lock()

    def leave():
        with lock:
            alive['now'] -= 1

    def count(number, transforms):
        pixels = np.full((1, 8, 8), number, np.float32)
        affines = np.zeros((len(transforms), 2, 3, 3))
        image = PreparedImage(pixels, affines, True, MorphologyFlag.FRAME_ASSUMED)
        with lock:
            alive['now'] += 1
            alive['most'] = max(alive['most'], alive['now'])
        weakref.finalize(image, leave)
        return image

    monkeypatch.setattr(FakeEngine, 'prepare', lambda _, *given: count(*given))
    return alive


def run(rows, engine=None, n_transforms=1, **kwargs):
    engine = engine or FakeEngine()
    transforms = frame_transforms(n_transforms)
    rows = list(rows)
    return classify(
        rows, len(rows), engine, engine.schema, transforms=transforms, **kwargs
    )


@pytest.mark.usefixtures('easy')
class TestClassify:
    @pytest.mark.parametrize('n', [0, 1, 8, 9, 50])
    @pytest.mark.parametrize('n_workers', [1, 4])
    def test_rows_keep_their_order(self, n, n_workers):
        path, std, flags, reasons = run(range(n), n_workers=n_workers)
        assert path.shape == (n, 37)
        assert path.dtype == np.float32
        np.testing.assert_array_equal(path[:, 5], np.arange(n))
        assert std is None
        assert flags.tolist() == [MorphologyFlag.FRAME_ASSUMED] * n
        assert flags.dtype == np.int32
        assert reasons == [''] * n

    def test_slow_rows_keep_their_order(self):
        def reader(row):
            time.sleep(0.002 * (row % 5))
            return row

        path, *_ = run(range(30), reader=reader, n_workers=4)
        np.testing.assert_array_equal(path[:, 0], np.arange(30))

    def test_spread_of_a_single_transform(self):
        values, std, *_ = run([10.0, 20.0], SureEngine())
        np.testing.assert_array_equal(values[:, 0], [10, 20])
        np.testing.assert_array_equal(std, 3)

    def test_spread_adds_to_the_deviation_over_transforms(self):
        values, std, *_ = run([10.0], SureEngine(), n_transforms=4)
        assert values[0, 0] == 11.5
        np.testing.assert_allclose(std[0, 0], np.sqrt(9 + np.var([0, 1, 2, 3])))

    def test_attributes_that_a_mirror_turns_around_are_turned_back(self):
        # of two transforms the second is a mirror: it sees 1.2 where the
        # first sees 0.2, so arms that wind by 0.2 and -0.2
        values, *_ = run([0.2], SureEngine(), n_transforms=2)
        index = SureEngine.schema.index('arm_rotation')
        assert values[0, index] == pytest.approx((0.2 + (1 - 1.2)) / 2, abs=1e-6)
        assert values[0, index + 1] == pytest.approx((0.2 + 1.2) / 2)

    def test_mean_and_deviation_over_transforms(self):
        path, std, *_ = run([10.0, 20.0], n_transforms=4)
        np.testing.assert_allclose(path[:, 0], [11.5, 21.5])
        np.testing.assert_allclose(std, np.std([0, 1, 2, 3]), rtol=1e-6)

    @pytest.mark.parametrize(
        ('error', 'reason'),
        [
            (KeyError('band'), "KeyError: 'band'"),
            (ValueError('no such unit'), 'ValueError: no such unit'),
            (MemoryError('10 TiB'), 'MemoryError: 10 TiB'),
            (RecursionError(), 'RecursionError: '),
            (UserWarning('odd header'), 'UserWarning: odd header'),
            (StopIteration(), 'StopIteration: '),
        ],
    )
    def test_any_error_costs_its_own_row_only(self, error, reason):
        def reader(row):
            if row == 3:
                raise error
            return row

        path, _, flags, reasons = run(range(20), reader=reader)
        assert np.flatnonzero(np.isnan(path[:, 0])).tolist() == [3]
        assert flags[3] == MorphologyFlag.INVALID_IMAGE
        assert reasons[3] == reason
        assert ''.join(reasons) == reason
        np.testing.assert_array_equal(path[4:, 0], np.arange(4, 20))

    def test_memory_that_runs_out_costs_its_own_row_only(self):
        path, _, flags, reasons = run(range(9), ShortEngine())
        assert np.flatnonzero(np.isnan(path[:, 0])).tolist() == [3]
        lost = MorphologyFlag.NOT_PREDICTED | MorphologyFlag.FRAME_ASSUMED
        assert flags[3] == lost
        assert set(flags[[0, 4]]) == {MorphologyFlag.FRAME_ASSUMED}
        assert reasons[3].startswith('memory ran out for this image')
        assert ''.join(reasons) == reasons[3]

    def test_image_errors_keep_their_flag(self):
        outside = ImageError('far away', flag=MorphologyFlag.OUTSIDE_IMAGE)
        silent = ImageError('', flag=MorphologyFlag.NO_WCS)

        def reader(row):
            if row == 1:
                raise silent
            return row

        path, _, flags, reasons = run([0, 1, outside], reader=reader)
        assert flags.tolist()[1:] == [silent.flag, outside.flag]
        assert reasons == ['', 'ImageError', 'far away']
        assert np.isnan(path[1:]).all()

    def test_only_errors(self):
        engine = FakeEngine()
        error = ImageError('no', flag=MorphologyFlag.MISSING_IMAGE)
        path, *_ = run([error] * 20, engine)
        assert engine.batches == []
        assert np.isnan(path).all()

    def test_batches_are_full(self):
        engine = FakeEngine(8)
        run(range(20), engine)
        assert engine.batches == [8, 8, 4]

    def test_smaller_batches_are_taken_up(self):
        class Shrinking(FakeEngine):
            def run(self, images):
                self.batch_size = 2
                return super().run(images)

        engine = Shrinking(8)
        path, *_ = run(range(14), engine)
        assert engine.batches == [8, 2, 2, 2]
        np.testing.assert_array_equal(path[:, 0], np.arange(14))

    def test_error_of_the_engine_ends_the_run_soon(self):
        class Broken(FakeEngine):
            def run(self, images):
                msg = 'no kernel image'
                raise RuntimeError(msg)

        asked = []

        def rows():
            for row in range(1000):
                asked.append(row)
                yield row

        with pytest.raises(RuntimeError, match='no kernel'):
            classify(rows(), 1000, Broken(), SCHEMA, transforms=frame_transforms(1))
        assert len(asked) <= 32

    def test_needs_a_worker(self):
        with pytest.raises(ValueError, match='n_workers must be at least 1, not 0'):
            run([1], n_workers=0)

    def test_filters_of_warnings_are_restored(self):
        def reader(row):
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')
                time.sleep(0.001)
            return row

        before = list(warnings.filters)
        run(range(50), reader=reader, n_workers=4)
        assert warnings.filters == before

    @pytest.mark.parametrize('shown', [False, True])
    def test_progress_bar(self, shown, capsys):
        error = ImageError('no', flag=MorphologyFlag.MISSING_IMAGE)
        run([*range(10), error, *range(9)], progress_bar=shown)
        out, err = capsys.readouterr()
        assert not out
        assert ('20/20' in err and 'galaxies' in err) == shown
        assert bool(err) == shown


@pytest.mark.parametrize('n_workers', [1, 4])
def test_memory_is_bounded(easy, n_workers):
    def rows():
        for row in range(5000):
            yield row if row % 7 else ImageError('x', flag=MorphologyFlag.NO_WCS)

    engine = FakeEngine(8)
    transforms = frame_transforms(1)
    path, *_ = classify(
        rows(), 5000, engine, SCHEMA, transforms=transforms, n_workers=n_workers
    )
    assert np.isfinite(path[:, 0]).sum() == 5000 - 715
    # Three batches ahead, the one that is gathered, and what is just finished.
    assert easy['most'] <= 5 * 8
    gc.collect()
    assert easy['now'] == 0


def test_rows_are_asked_for_as_they_are_needed(easy):
    most_ahead = []

    class Watching(FakeEngine):
        def run(self, images):
            most_ahead.append(asked - sum(self.batches))
            return super().run(images)

    asked = 0

    def rows():
        nonlocal asked
        for row in range(500):
            asked += 1
            yield row

    classify(rows(), 500, Watching(4), SCHEMA, transforms=frame_transforms(1))
    assert max(most_ahead) <= 4 * 4


def test_filled_pixels_are_reported():
    stamps = [stamp / 255 for stamp in draw_stamps(2, size=64)]
    stamps[1][:32, :32] = np.nan
    _, _, flags, reasons = run(map(read_image, stamps))
    assert not flags[0] & MorphologyFlag.NONFINITE_PIXELS
    assert flags[1] & MorphologyFlag.NONFINITE_PIXELS
    assert reasons[0] == ''
    # A quarter of the picture, less what the network does not look at.
    assert 15 < float(reasons[1].removesuffix('% of the pixels were filled')) < 25
