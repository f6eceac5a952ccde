"""From rows to frozen values: the one place where column names become field names."""

from collections.abc import Sequence
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Executable, Select
from sqlalchemy.ext.asyncio import AsyncConnection

Record = TypeVar("Record")


async def all_of(connection: AsyncConnection, record: type[Record], query: Executable) -> list[Record]:
    """Return every row of `query` as a `record`, whose fields are named as the columns are."""
    rows: Sequence[Any] = (await connection.execute(query)).mappings().all()
    return [record(**row) for row in rows]


async def one_of(connection: AsyncConnection, record: type[Record], query: Executable) -> Record | None:
    """Return the first row of `query` as a `record`, None if there is none."""
    row: Any = (await connection.execute(query)).mappings().first()
    return None if row is None else record(**row)


def among(query: Select[Any], column: ColumnElement[Any], values: Sequence[str] | None) -> Select[Any]:
    """Return `query` for those rows whose `column` is one of `values`, for all if that is None."""
    return query if values is None else query.where(column.in_(values))
