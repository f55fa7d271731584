# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of what the command line writes and says."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import QTable, Table

from galmorph.cli.outputs import (
    Output,
    RequestError,
    check_folder,
    describe_installation,
    summarise,
    summarise_flags,
)
from galmorph.config import conf
from tests.helpers.predictions import make_predictions


class TestOutput:
    def test_a_failed_write_leaves_the_old_file(self, tmp_path):
        path = tmp_path / 'a.fits'
        Output(path).write(QTable({'id': [1]}))
        with pytest.raises(UnicodeEncodeError):
            Output(path, overwrite=True).write(QTable({'id': ['é']}))
        assert QTable.read(path)['id'].tolist() == [1]
        assert [p.name for p in tmp_path.iterdir()] == ['a.fits']

    def test_trial_leaves_nothing(self, tmp_path):
        table = QTable({'id': ['a']})
        Output(tmp_path / 'a.ecsv').try_out(table, table[:0])
        assert list(tmp_path.iterdir()) == []

    def test_trial_finds_what_a_format_cannot_hold(self, tmp_path):
        output = Output(tmp_path / 'a.fits')
        table = QTable({'id': [1, 2], 'path': ['a', 'ö']})
        with pytest.raises(RequestError, match='cannot hold the text'):
            output.try_out(table, table[:0])
        objects = QTable({'any': np.array([{}, 3], object)})
        with pytest.raises(RequestError):
            output.try_out(objects, objects[:0])
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize('name', ['a.vot', 'a.XML', 'a.votable'])
    def test_votable_by_name(self, tmp_path, name):
        Output(tmp_path / name).write(QTable({'id': [1]}))
        assert Table.read(tmp_path / name, format='votable')['id'].tolist() == [1]

    def test_votable_has_positions_as_numbers(self, tmp_path):
        coords = SkyCoord([266.4, 10], [-28.9, 20], unit='deg')
        table = QTable({'id': [1, 2], 'where': coords.galactic, 'n': [3, 4]})
        Output(tmp_path / 'a.vot').write(table)
        found = Table.read(tmp_path / 'a.vot', format='votable')
        assert found.colnames == ['id', 'where_ra', 'where_dec', 'n']
        np.testing.assert_allclose(found['where_ra'], [266.4, 10])
        np.testing.assert_allclose(found['where_dec'], [-28.9, 20])
        assert isinstance(table['where'], SkyCoord)
        beside = QTable({'where': coords, 'where_ra': [1, 2]})
        with pytest.raises(RequestError, match="'where' cannot be written"):
            Output(tmp_path / 'b.vot').write(beside)


def test_folder_is_made_where_asked_for(tmp_path):
    check_folder(tmp_path / 'a' / 'b', create=True)
    assert (tmp_path / 'a' / 'b').is_dir()


def test_summary_names_few_of_many_failures():
    predictions = make_predictions(12, broken=range(9))
    text = summarise(predictions, [f'{i}.png' for i in range(12)], 'w')
    assert text.startswith('predicted 3 of 12 galaxies (w)\n  0.png: image 0 is trunc')
    assert '... and 4 more' in text
    assert '9  UNREADABLE_IMAGE' in text


def test_flags_of_no_row_are_no_text():
    assert summarise_flags(np.array([], int)) == ''


def test_installation_tells_what_is_wrong():
    with conf.set_temp('default_weights', 'none'), conf.set_temp('device', 'cuda:99'):
        text = describe_installation()
    assert "unknown weights 'none'" in text
    assert 'device used       none: ' in text
