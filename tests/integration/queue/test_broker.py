"""What our transport changes about kombu's."""

from kombu import Connection

from worker.broker import Transport


def test_commands_share_a_client_until_its_connections_are_replaced(redis_url: str) -> None:
    with Connection(redis_url, transport=Transport) as connection:
        channel = connection.default_channel
        with channel.conn_or_acquire() as first, channel.conn_or_acquire() as second:
            assert first is second
        channel._disconnect_pools()  # as after an error of the connection
        with channel.conn_or_acquire() as third:
            assert third is not first
            assert third.ping()
