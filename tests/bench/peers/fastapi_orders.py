"""Orders as most Python teams would take them in: FastAPI, pydantic, SQLAlchemy, one transaction for order and event.

It does less than GoFleet: no metrics, no traces, no log lines, no history, no checks in the database but its keys.
`PEER_DATABASE_URL` is for asyncpg. `uvicorn --factory tests.bench.peers.fastapi_orders:app`
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel, Field
from sqlalchemy import ForeignKey, Numeric, String, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase): ...


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    price: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    tax: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    final_price: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    pickup_lat: Mapped[float | None]
    pickup_lng: Mapped[float | None]
    status: Mapped[str] = mapped_column(default="PENDING")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Outbox(Base):
    __tablename__ = "outbox"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    order_id: Mapped[str] = mapped_column(ForeignKey("orders.id"))
    event_type: Mapped[str]
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    published_at: Mapped[datetime | None]


class Place(BaseModel):
    lat: float = Field(ge=-90, le=90)
    lng: float = Field(ge=-180, le=180)


class NewOrder(BaseModel):
    id: str = Field(min_length=1, max_length=64)
    price: Decimal = Field(gt=0)
    tax: Decimal = Field(ge=0)
    pickup: Place | None = None


class OrderOut(BaseModel):
    id: str
    final_price: Decimal
    status: str


async def a_session(request: Request) -> AsyncGenerator[AsyncSession]:
    async with request.app.state.sessions() as session:
        yield session


async def create_order(new: NewOrder, session: Annotated[AsyncSession, Depends(a_session)]) -> OrderOut:
    place = new.pickup
    order = Order(id=new.id, price=new.price, tax=new.tax, final_price=new.price + new.tax, status="PENDING")
    order.pickup_lat, order.pickup_lng = (place.lat, place.lng) if place else (None, None)
    session.add(order)
    payload = new.model_dump(mode="json") | {"status": order.status}
    try:
        await session.flush()
        session.add(Outbox(order_id=order.id, event_type="orders.created", payload=payload))
        await session.commit()
    except IntegrityError as error:
        raise HTTPException(409, "order exists") from error
    return OrderOut(id=new.id, final_price=new.price + new.tax, status="PENDING")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    # As many connections as our api has.
    engine = create_async_engine(os.environ["PEER_DATABASE_URL"], pool_size=16, max_overflow=0)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    app.state.sessions = async_sessionmaker(engine, expire_on_commit=False)
    yield
    await engine.dispose()


def app() -> FastAPI:
    served = FastAPI(lifespan=lifespan)
    served.add_api_route("/api/v1/orders", create_order, methods=["POST"], status_code=201)
    return served
