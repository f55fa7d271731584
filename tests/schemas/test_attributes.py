# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of lists of attributes."""

import json

import numpy as np
import pytest
from astropy.table import Table

from galmorph.exceptions import SchemaError
from galmorph.schemas import AttributeSchema, load_schema
from tests.helpers.data import SHARED_DATA, needs_shared_data

EFIGI = load_schema('efigi')


class TestEfigi:
    def test_has_seventeen_attributes_in_the_order_of_the_catalogue(self):
        assert EFIGI.n_answers == len(EFIGI.columns) == 17
        assert EFIGI.source_columns[0] == 'T'
        assert EFIGI.source_columns[1] == 'Bulge_to_Total'
        assert EFIGI.source_columns[-1] == 'Multiplicity'
        assert EFIGI.names == EFIGI.columns

    def test_scales(self):
        assert (EFIGI.low[0], EFIGI.high[0]) == (-6, 11)
        assert (EFIGI.low[1:] == 0).all()
        assert (EFIGI.high[1:] == 1).all()

    def test_structure_has_an_answer_each(self):
        assert EFIGI.structure == tuple((i, i + 1, -1) for i in range(17))
        assert sum(EFIGI.counts) == 17

    @pytest.mark.parametrize(
        ('stage', 'name'),
        [
            (-6, 'cE'), (-5, 'E'), (-2.4, 'S0'), (0, 'S0/a'), (1, 'Sa'), (3.3, 'Sb'),
            (5, 'Sc'), (9, 'Sm'), (10, 'Im'), (11, 'dE'), (40, 'dE'), (-9, 'cE'),
            (np.nan, ''),
        ],
    )  # fmt: skip
    def test_stage_names(self, stage, name):
        values = np.full((1, 17), 0.5)
        values[0, 0] = stage
        assert EFIGI.stage_names(values).tolist() == [name]

    def test_stage_names_of_no_galaxy(self):
        assert EFIGI.stage_names(np.empty((0, 17))).tolist() == []

    def test_a_mirror_turns_the_arms_around_only(self):
        values = np.random.default_rng(1).random((4, 17)).astype(np.float32)
        mirrored = EFIGI.mirrored(values)
        changed = np.flatnonzero((mirrored != values).any(0))
        assert [EFIGI.names[i] for i in changed] == ['arm_rotation']
        assert mirrored.dtype == np.float32
        np.testing.assert_allclose(EFIGI.mirrored(mirrored), values, atol=1e-7)

    @needs_shared_data
    def test_describes_the_catalogue(self):
        table = Table.read(SHARED_DATA / 'efigi' / 'attributes.csv')
        for attribute in EFIGI.attributes:
            values = np.asarray(table[attribute.column], float)
            if attribute.name != 't_type':
                values = values[values != -1]
            assert values.min() == attribute.low
            assert values.max() == attribute.high


class TestDescription:
    def test_round_trip_through_json(self):
        description = json.loads(json.dumps(EFIGI.to_dict()))
        again = AttributeSchema.from_dict(description)
        assert again.attributes == EFIGI.attributes
        assert again.to_dict() == EFIGI.to_dict()

    def test_without_stages_there_are_no_names(self):
        description = {**EFIGI.to_dict(), 'stages': {}}
        schema = AttributeSchema.from_dict(description)
        assert schema.stage_names(np.zeros((2, 17))).tolist() == ['', '']

    def test_finds_attributes_by_name(self):
        assert EFIGI.index('inclination') == 14
        with pytest.raises(SchemaError, match="no attribute 'colour'"):
            EFIGI.index('colour')

    @pytest.mark.parametrize(
        ('change', 'message'),
        [
            (lambda d: d.pop('title'), "not valid: 'title'"),
            (lambda d: d.update(attributes=[]), 'or there are none'),
            (lambda d: d['attributes'][1].update(name='t_type'), 'names .* unique'),
            (lambda d: d['attributes'][1].update(column='T'), 'source columns of'),
            (
                lambda d: d['attributes'][1].update(low=1.0),
                "'bulge_to_total' must",
            ),
            (lambda d: d['attributes'][1].update(colour=1), 'not valid: .*colour'),
            (lambda d: d['stages'].update(attribute='x'), "no attribute 'x'"),
            (lambda d: d['stages'].update(names={'a': 'E'}), 'not valid: .*int'),
        ],
    )
    def test_contradictions_are_refused(self, change, message):
        description = json.loads(json.dumps(EFIGI.to_dict()))
        change(description)
        with pytest.raises(SchemaError, match=message):
            AttributeSchema.from_dict(description)
