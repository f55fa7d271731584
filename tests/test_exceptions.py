# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the errors and the warning class."""

import copy
import pickle
import warnings

import pytest
from astropy.utils.exceptions import AstropyUserWarning

from galmorph.exceptions import (
    GalmorphError,
    GalmorphWarning,
    ImageError,
    LabelError,
    SchemaError,
    WeightsError,
)
from galmorph.flags import MorphologyFlag


class TestHierarchy:
    @pytest.mark.parametrize(
        'error', [ImageError, LabelError, SchemaError, WeightsError]
    )
    def test_one_except_clause_catches_all(self, error):
        assert issubclass(error, GalmorphError)

    @pytest.mark.parametrize('error', [ImageError, LabelError, SchemaError])
    def test_wrong_values_are_value_errors(self, error):
        assert issubclass(error, ValueError)

    def test_warning_is_filtered_with_those_of_astropy(self):
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            warnings.simplefilter('ignore', AstropyUserWarning)
            warnings.warn('seen by nobody', GalmorphWarning, stacklevel=1)


class TestImageError:
    def test_carries_message_and_flag(self):
        error = ImageError('no pixels', flag=MorphologyFlag.INVALID_IMAGE)
        assert str(error) == 'no pixels'
        assert error.flag is MorphologyFlag.INVALID_IMAGE

    def test_flag_must_be_named(self):
        with pytest.raises(TypeError, match='flag'):
            ImageError('no pixels')

    @pytest.mark.parametrize(
        'travel', [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))]
    )
    def test_comes_back_from_another_process(self, travel):
        error = ImageError('no pixels', flag=MorphologyFlag.NO_WCS)
        error.add_note('row 7')
        returned = travel(error)
        assert type(returned) is ImageError
        assert returned.args == error.args
        assert returned.flag is MorphologyFlag.NO_WCS
        assert returned.__notes__ == ['row 7']
