# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of what is done to the sessions and settings of astroquery."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from astroquery import cache_conf

from galmorph.sources._session import keep_settings, prepare_session
from tests.helpers.loopback import Reply


@pytest.fixture
def session():
    with requests.Session() as session:
        yield session


class TestSession:
    def test_timeout_holds_where_none_is_given(self, loopback, session):
        loopback.route('/', lambda _: Reply(fault='stall'))
        prepare_session(session, 0.2)
        with pytest.raises(requests.exceptions.ReadTimeout):
            session.get(loopback.url, timeout=None)

    def test_last_answer_is_there(self, loopback, session):
        loopback.route('/', lambda request: request.path.encode())
        answers = prepare_session(session, 2)
        for path in ('/a', '/b'):
            session.get(loopback.url + path)
        assert [answer.content for answer in answers] == [b'/b']

    def test_hooks_see_errors_and_names_are_told(self, loopback, session):
        loopback.route('/', lambda _: Reply(status=500))
        prepare_session(session, 2, lambda response, *_, **__: response.status_code / 0)
        with pytest.raises(ZeroDivisionError):
            session.get(loopback.url)
        agent = loopback.requests[0].headers['User-Agent']
        assert agent.startswith('galmorph/')
        assert 'python-requests' in agent


class TestSettings:
    @pytest.mark.parametrize('wanted', [True, False])
    def test_threads_leave_them_alone(self, wanted):
        barrier = threading.Barrier(8)

        def ask(number):
            with keep_settings():
                barrier.wait()
                # As astroquery does for each request without a cache.
                before = cache_conf.cache_active
                cache_conf.cache_active = False
                barrier.wait()
                cache_conf.cache_active = before
            return number

        with cache_conf.set_temp('cache_active', wanted):
            with ThreadPoolExecutor(8) as pool:
                assert sum(pool.map(ask, range(8))) == 28
            assert cache_conf.cache_active is wanted
