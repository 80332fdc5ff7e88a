"""The fixtures of tests/services.py."""

import aio_pika
import httpx

from gofleet.embedded import RabbitMQ
from tests.services import a_vhost


async def test_a_vhost_exists_only_within_the_block(rabbit_server: RabbitMQ) -> None:
    with a_vhost(rabbit_server) as address:
        async with await aio_pika.connect(address.url) as connection:
            assert await (await connection.channel()).declare_queue("mine")

    async with httpx.AsyncClient(auth=(address.user, address.password), trust_env=False) as http:
        gone = await http.get(f"{address.management_url}/api/vhosts/{address.vhost}")
    assert gone.status_code == httpx.codes.NOT_FOUND
