"""`python -m tests.rights`: writes the permissions at RabbitMQ and Redis under config/."""

from tests.rights.files import ROOT, made

for path, text in made().items():
    (ROOT / path).write_text(text, encoding="utf-8")
