"""Where the status lists of the tests are served."""

from typing import Final

BASE: Final = "https://us.example/status-lists"


URI: Final = f"{BASE}/1"
