"""`GET /problems/{slug}`: where the `type` of a problem leads."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import get
from litestar.exceptions import NotFoundException
from litestar.params import PathParameter

from gofleet.adapters.http.access import OPEN
from gofleet.adapters.http.answers import Answer
from gofleet.adapters.http.fields import said
from gofleet.adapters.http.problem_types import PREFIX, Slug
from gofleet.adapters.http.problems import documented


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """What a sort of problem means."""

    type: Annotated[str, said("The `type` of such problems.", Slug.ORDER_TAKEN.uri)]
    title: Annotated[str, said("What is wrong.", Slug.ORDER_TAKEN.meaning.title)]
    status: Annotated[int, said("The HTTP status it comes with.", 409, minimum=400, maximum=599)]
    hint: Annotated[str, said("What to do about it.", Slug.ORDER_TAKEN.meaning.hint)]


ANSWERS = {200: Answer(Explanation, description="What it means and what to do about it.")}


@get(
    PREFIX + "{slug:str}",
    operation_id="explainProblem",
    summary="Explain a problem",
    responses=ANSWERS | documented(Slug.NOT_FOUND, public=True),
    opt=OPEN,
    tags=["problems"],
)
async def explain(
    slug: Annotated[
        str,
        PathParameter(description="The end of the problem's `type`.", schema_extra={"enum": [s.value for s in Slug]}),
    ],
) -> Explanation:
    """What the `type` of a problem means. The words may change, the slugs never do."""
    try:
        found = Slug(slug)
    except ValueError as error:
        raise NotFoundException from error
    title, status, hint = found.meaning.title, found.meaning.status, found.meaning.hint
    return Explanation(type=found.uri, title=title, status=status, hint=hint)
