# SQLAlchemy, its ORM and its statements.
from sqlalchemy import BigInteger, Column, Integer, Text, cast, create_engine, func, select
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, declarative_base

from lines import BRAND, MANUFACTURER, check, done, needs_retry, needs_unique_index, works_unchanged


class Product(declarative_base()):
    __tablename__ = "product"
    id = Column(BigInteger, primary_key=True)
    brand = Column(Text)
    serial = Column(Text)
    manufacturer = Column(Text)
    stock = Column(Integer)


engine = create_engine("postgresql+psycopg2://")
KEY = ["brand", "serial", "manufacturer"]


def key_of(serial):
    return {"brand": BRAND, "serial": serial, "manufacturer": MANUFACTURER}


def query_then_merge(serial, stock):
    with Session(engine) as session, session.begin():
        known = session.scalar(select(Product.id).filter_by(**key_of(serial)))
        session.merge(Product(id=known, **key_of(serial), stock=stock))


def nested(serial, stock):
    with Session(engine) as session, session.begin():
        product = session.scalar(select(Product).filter_by(**key_of(serial)))
        if product is None:
            try:
                with session.begin_nested():
                    session.add(Product(**key_of(serial), stock=stock))
                return
            except IntegrityError:
                product = session.scalar(select(Product).filter_by(**key_of(serial)))
        product.stock = stock


def statement(serial, stock):
    return insert(Product).values(**key_of(serial), stock=stock)


def execute(query):
    with Session(engine) as session, session.begin():
        session.execute(query)


needs_retry("a query, then `merge` and `flush`", query_then_merge)
works_unchanged("`begin_nested` and `add`, after an `IntegrityError` a query", nested)
needs_unique_index("`insert().on_conflict_do_update`", "42P10", lambda serial, stock: execute(
    statement(serial, stock).on_conflict_do_update(index_elements=KEY, set_={"stock": stock})))
needs_unique_index("`insert().on_conflict_do_nothing()`", "23505", lambda serial, stock: execute(
    statement(serial, stock).on_conflict_do_nothing()))

product = {**key_of("B-1"), "stock": 12}
with Session(engine) as session, session.begin():
    result = session.scalar(select(func.product_upsert(cast(product, JSONB), type_=JSONB)))
check((result["action"], result["product"]["stock"]), ("created", 12), "`product_upsert`: in one line")
done()
