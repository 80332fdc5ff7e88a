"""`just rules`: generate the alert rules, their tests and the dashboards from the objectives."""

from __future__ import annotations

from tests.observability.files import FILES
from tests.observability.objectives import ROOT


def main() -> None:
    for path, generate in FILES.items():
        text = generate()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")  # noqa: T201


if __name__ == "__main__":
    main()
