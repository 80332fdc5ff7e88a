"""`just rules`: write the rules, their tests and the dashboards that follow from the objectives."""

from __future__ import annotations

from tests.observability.files import FILES
from tests.observability.objectives import ROOT


def main() -> None:
    for path, made in FILES.items():
        text = made()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")  # noqa: T201


if __name__ == "__main__":
    main()
