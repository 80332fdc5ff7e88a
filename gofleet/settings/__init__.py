"""The settings: `groups` declares them, `load` reads them."""

from gofleet.settings.errors import SettingsError
from gofleet.settings.groups import Settings
from gofleet.settings.load import check, load, secrets_of
from gofleet.settings.startup_checks import unsafe

__all__ = ["Settings", "SettingsError", "check", "load", "secrets_of", "unsafe"]
