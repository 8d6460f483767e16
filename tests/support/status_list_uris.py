"""The base URI of the status lists in the tests."""

from typing import Final

BASE: Final = "https://us.example/status-lists"


URI: Final = f"{BASE}/1"
