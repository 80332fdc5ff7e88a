"""What staff and drivers may set about duty, over HTTP."""

from __future__ import annotations

import httpx

from gofleet.adapters.http.app import api_app
from gofleet.adapters.http.auth import Authenticator
from gofleet.adapters.http.server import serving
from tests.auth.matrix import authenticate
from tests.roles.conftest import World

DRIVER = "/api/v1/drivers/driver-x"


async def test_what_staff_set_holds_until_staff_lift_it() -> None:
    world = World()
    app = api_app(world.api(), authenticator=Authenticator(authenticate))
    async with (
        serving(app, "127.0.0.1", 0, grace_seconds=2) as listening,
        httpx.AsyncClient(base_url=listening.url) as client,
    ):

        async def send(name: str, method: str, path: str, body: object = None) -> httpx.Response:
            return await client.request(method, path, json=body, headers={"Authorization": f"Bearer {name}"})

        async def set_duty(name: str, *, on: bool) -> httpx.Response:
            return await send(name, "PUT", f"{DRIVER}/duty", {"on_duty": on})

        await send("dispatcher-d", "PUT", DRIVER, {"name": "X"})
        for on in (False, True):  # the driver's own word
            assert (await set_duty("driver-x", on=on)).json()["on_duty"] is on

        off = await set_duty("dispatcher-d", on=False)
        assert off.json()["off_duty_by"] == "dispatcher:dispatcher-d"
        refused = await set_duty("driver-x", on=True)
        assert (refused.status_code, refused.json()["type"]) == (409, "/problems/off-duty-by-staff")
        assert not (await world.drivers.get("driver-x")).on_duty
        shown = await send("driver-x", "GET", DRIVER)
        assert shown.json()["off_duty_by"] == "dispatcher"  # the role, not the name
        assert (await set_duty("driver-x", on=False)).json()["off_duty_by"] == "dispatcher"
        [listed] = (await send("admin-m", "GET", "/api/v1/drivers")).json()["items"]
        assert listed["off_duty_by"] == "dispatcher:dispatcher-d"

        assert "off_duty_by" not in (await set_duty("service-s", on=True)).json()
        assert (await set_duty("driver-x", on=True)).status_code == 200

        await send("dispatcher-d", "PUT", DRIVER, {"name": "X", "on_duty": False})
        assert (await set_duty("driver-x", on=True)).status_code == 409
        await send("dispatcher-d", "PUT", DRIVER, {"name": "X"})
        assert (await send("driver-x", "GET", DRIVER)).json()["on_duty"] is True
