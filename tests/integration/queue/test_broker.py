"""What our transport changes about kombu's."""

from celery import Celery

from celeryconfig import celery_settings
from tests.support.environment import make_settings
from worker import broker


def test_commands_share_a_client_until_its_connections_are_replaced(redis_url: str) -> None:
    broker.install()
    with Celery(set_as_current=False) as celery:
        celery.conf.update(celery_settings(make_settings(redis_url=redis_url)))
        with celery.connection_for_write() as connection:
            channel = connection.default_channel
            with channel.conn_or_acquire() as first, channel.conn_or_acquire() as second:
                assert first is second
            channel._disconnect_pools()  # as after an error of the connection
            with channel.conn_or_acquire() as third:
                assert third is not first
                assert third.ping()
