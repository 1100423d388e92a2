"""
What the endpoints answer. Where two requests or writers meet, the test holds the lock that one of them waits
for: nothing depends on who is faster.
"""
import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal

from django.core.management import call_command
from django.db import Error, connection, connections
from django.test import Client, TransactionTestCase

from .errors import exception_handler
from .models import Product
from .views import IMPORT_MAX

KEY = {"brand": "Acme", "serial": "A-17", "manufacturer": "Acme Corp"}
ANVIL = {**KEY, "name": "Anvil", "price": "4.50", "stock": 12}

UPSERT = "/products/upsert"
IMPORT = "/products/import"
FILTER_THEN_SAVE = "/products/filter-then-save"
UPDATE_OR_CREATE = "/products/update-or-create"
ATOMIC = "/products/atomic"


def post(path, body, **headers):
    body = body if isinstance(body, str) else json.dumps(body)
    return Client().post(path, body, content_type="application/json", **headers)


def stored():
    return list(Product.objects.order_by("id").values(*ANVIL))


@contextmanager
def another_session():
    """A session beside the one of the tests. If it should be forgotten, it does not hold its locks forever."""
    session = connection.copy()
    session.connect()
    session.set_autocommit(False)
    try:
        with session.cursor() as cursor:
            cursor.execute("SET idle_in_transaction_session_timeout = '20s'")
            session.commit()
            yield session, cursor
    finally:
        session.close()


@contextmanager
def in_background(*calls):
    """Makes each call in a thread, with a database connection of its own; gives their futures."""

    def run(call):
        try:
            return call()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(calls)) as pool:
        yield [pool.submit(run, call) for call in calls]


def wait_for_waiters(count, longer_than="0"):
    """Returns when that many sessions of the database wait for a lock, in statements that have taken so long."""
    deadline = time.monotonic() + 10
    with connection.cursor() as cursor:
        while time.monotonic() < deadline:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
                " AND clock_timestamp() - query_start > %s",
                [longer_than],
            )
            if cursor.fetchone()[0] == count:
                return
            time.sleep(0.01)
    raise AssertionError(f"there were not {count} sessions that waited for a lock")


class UpsertTest(TransactionTestCase):
    def test_creates(self):
        response = post(UPSERT, {**KEY, "name": "Anvil"})
        self.assertEqual(response.status_code, 201)
        self.assertEqual(stored(), [{**KEY, "name": "Anvil", "price": None, "stock": 0}])

    def test_answers_as_the_usual_ways_do(self):
        """The body is the same to the last character, whether the row came through JSON or not."""
        body = post(UPSERT, ANVIL).content
        self.assertEqual(body, post(FILTER_THEN_SAVE, ANVIL).content)
        self.assertEqual(set(json.loads(body)), {"id", "created_at", *ANVIL})

    def test_updates_and_keeps_what_is_left_out(self):
        created = post(UPSERT, ANVIL)
        response = post(UPSERT, {**KEY, "stock": 11})
        self.assertEqual(response.status_code, 200)
        self.assertEqual(response.json(), {**created.json(), "stock": 11})
        self.assertEqual(stored(), [{**ANVIL, "price": Decimal("4.50"), "stock": 11}])

    def test_null_is_stored(self):
        post(UPSERT, ANVIL)
        self.assertIsNone(post(UPSERT, {**KEY, "price": None}).json()["price"])

    def test_numbers_are_exact(self):
        """Neither price is a float: as such, the one would end in 80, the other in 9007199254740992."""
        for price in "123456789012345678.91", "9007199254740993.10":
            body = json.dumps({**KEY, "name": "Anvil"})[:-1] + f', "price": {price}}}'
            self.assertEqual(post(UPSERT, body).json()["price"], price)
            self.assertEqual(Product.objects.get().price, Decimal(price))

    def test_returns_an_object_of_the_model(self):
        product, created = Product.objects.upsert(ANVIL)
        self.assertTrue(created)
        self.assertEqual(product, Product.objects.get())
        self.assertEqual(product.price, Decimal("4.50"))
        product.delete()
        self.assertEqual(stored(), [])

    def test_source_is_what_has_created_the_product(self):
        """It is given with each request, but only the first one's counts."""
        post(UPSERT, ANVIL)
        post(IMPORT, [{**KEY, "stock": 11}, {**ANVIL, "serial": "A-18"}])
        post(UPSERT, {**ANVIL, "serial": "A-18", "stock": 11})
        sources = Product.objects.order_by("serial").values_list("source", "stock")
        self.assertEqual(list(sources), [("upsert", 11), ("import", 11)])

    def test_source_is_not_the_clients(self):
        post(UPSERT, {**ANVIL, "source": "me"})
        post(UPSERT, {**KEY, "source": "me"})
        self.assertEqual(Product.objects.get().source, "upsert")


class ImportTest(TransactionTestCase):
    def test_all_is_right(self):
        created = post(UPSERT, ANVIL).json()
        with self.assertNumQueries(1):
            response = post(IMPORT, [ANVIL, {**KEY, "stock": 11}, {**ANVIL, "serial": "A-18"}])
        self.assertEqual(response.status_code, 200)
        unchanged, updated, other = response.json()
        self.assertEqual(unchanged, {"action": "unchanged", "product": created})
        self.assertEqual(updated, {"action": "updated", "product": {**created, "stock": 11}})
        self.assertEqual(other["action"], "created")
        self.assertEqual([row["serial"] for row in stored()], ["A-17", "A-18"])

    def test_errors_are_beside_their_fields(self):
        """Some are found by the serializer, some by the database, and what is right between them is stored."""
        response = post(IMPORT, [
            {**ANVIL, "stock": "a lot"},
            {**KEY, "serial": "A-18"},
            ANVIL,
            7,
            {**ANVIL, "serial": "A-19", "price": "-1"},
            {**ANVIL, "serial": "A-20"},
        ])
        self.assertEqual(response.status_code, 207)
        self.assertEqual(
            [(each["action"], list(each.get("errors", []))) for each in response.json()],
            [
                ("failed", ["stock"]),
                ("failed", ["name"]),
                ("created", []),
                ("failed", ["non_field_errors"]),
                ("failed", ["non_field_errors"]),
                ("created", []),
            ],
        )
        texts = [each["errors"][field] for each in response.json() if "errors" in each for field in each["errors"]]
        for text, part in zip(texts, ["integer", '"name"', "dictionary", '"price_not_negative"']):
            with self.subTest(part):
                self.assertEqual(len(text), 1)
                self.assertIn(part, text[0])
        self.assertEqual([row["serial"] for row in stored()], ["A-17", "A-20"])

    def test_says_nothing_of_stored_values(self):
        with connection.cursor() as cursor:
            cursor.execute("SELECT product_upsert_unprotect('shop_product')")
            Product.objects.bulk_create([Product(**ANVIL), Product(**ANVIL)])
            cursor.execute("SELECT product_upsert_protect('shop_product')")
        response = post(IMPORT, [ANVIL])
        self.assertEqual([list(each["errors"]) for each in response.json()], [["non_field_errors"]])
        self.assertNotIn("A-17", response.content.decode())

    def test_none_gets_past_the_serializer(self):
        self.assertEqual(post(IMPORT, [{}]).status_code, 207)
        self.assertEqual(post(IMPORT, []).json(), [])

    def test_no_list_or_too_long_a_one(self):
        products = [{**ANVIL, "serial": f"A-{n}"} for n in range(IMPORT_MAX + 1)]
        for body in ANVIL, None, "", products:
            with self.subTest(str(body)[:60]):
                self.assertEqual(post(IMPORT, body).status_code, 400)
        self.assertEqual(stored(), [])

    def test_as_many_as_there_may_be_lock_nobody_out(self):
        """Another product is locked meanwhile, and its table could not be."""
        products = [{**ANVIL, "serial": f"B-{n}"} for n in range(IMPORT_MAX)]
        with another_session() as (_, cursor):
            cursor.execute("SELECT product_upsert_lock('shop_product', %s)", [json.dumps(KEY)])
            self.assertEqual(post(IMPORT, products).status_code, 200)
        self.assertEqual(len(stored()), IMPORT_MAX)

    def test_what_a_retry_mends_is_no_result(self):
        """One product is locked. No answer for the others says that they are stored, as they are not."""
        with another_session() as (_, cursor):
            cursor.execute("SELECT product_upsert_lock('shop_product', %s)", [json.dumps(KEY)])
            response = post(IMPORT, [{**ANVIL, "serial": "A-18"}, ANVIL])
        self.assertEqual(response.status_code, 503)
        self.assertEqual(stored(), [])


class ETagTest(TransactionTestCase):
    def setUp(self):
        self.etag = post(UPSERT, ANVIL)["ETag"]

    def test_unchanged_keeps_the_etag(self):
        response = post(UPSERT, ANVIL)
        self.assertEqual(response.status_code, 200)
        self.assertEqual(response["ETag"], self.etag)

    def test_every_change_gives_another(self):
        etags = [self.etag]
        for stock in 11, 12, 11:
            etags.append(post(UPSERT, {**KEY, "stock": stock})["ETag"])
        self.assertEqual(len(set(etags)), 4)

    def test_match(self):
        with self.assertNumQueries(1):
            response = post(UPSERT, {**KEY, "stock": 11}, HTTP_IF_MATCH=self.etag)
        self.assertEqual(response.status_code, 200)
        self.assertNotEqual(response["ETag"], self.etag)
        self.assertEqual(stored()[0]["stock"], 11)

    def test_one_of_several(self):
        post(UPSERT, {**KEY, "stock": 11})
        now = post(UPSERT, {**KEY, "stock": 10})["ETag"]
        response = post(UPSERT, {**KEY, "stock": 9}, HTTP_IF_MATCH=f'"other", {self.etag}, {now}')
        self.assertEqual(response.status_code, 200)

    def test_none_of_several(self):
        post(UPSERT, {**KEY, "stock": 11})
        self.assert_412(f'{self.etag}, "0-1"')

    def test_others_match_nothing(self):
        tag = self.etag.strip('"')
        for header in "", tag, f"W/{self.etag}", '"other"', f'"{tag}-1"', '"99999999999999999999-1"', '"0-1"':
            with self.subTest(header):
                self.assert_412(header)

    def test_stale_after_upsert(self):
        post(UPSERT, {**KEY, "stock": 11})
        self.assert_412(self.etag)

    def test_stale_after_save(self):
        Product.objects.get().save()
        self.assert_412(self.etag)

    def test_stale_after_delete_and_create(self):
        Product.objects.all().delete()
        self.assert_412(self.etag)
        post(UPSERT, ANVIL)
        self.assert_412(self.etag)

    def test_asterisk(self):
        self.assertEqual(post(UPSERT, {**KEY, "stock": 11}, HTTP_IF_MATCH="*").status_code, 200)
        Product.objects.all().delete()
        self.assert_412("*")

    def test_one_of_two_wins(self):
        """Both come with the right ETag, and wait for the product. The second has to find that it is stale."""
        with another_session() as (session, cursor):
            cursor.execute("SELECT product_upsert_lock('shop_product', %s)", [json.dumps(KEY)])
            with in_background(*[
                lambda stock=stock: post(UPSERT, {**KEY, "stock": stock}, HTTP_IF_MATCH=self.etag).status_code
                for stock in (1, 2)
            ]) as answers:
                wait_for_waiters(2)
                session.commit()
        self.assertEqual(sorted(answer.result() for answer in answers), [200, 412])

    def test_a_plain_update_wins(self):
        """The row is being updated by somebody who takes no lock but the row's."""
        with another_session() as (session, cursor):
            cursor.execute("UPDATE shop_product SET stock = 5")
            with in_background(lambda: post(UPSERT, {**KEY, "stock": 11}, HTTP_IF_MATCH=self.etag)) as [answer]:
                wait_for_waiters(1)
                session.commit()
        self.assertEqual(answer.result().status_code, 412)
        self.assertEqual(stored()[0]["stock"], 5)

    def assert_412(self, header):
        before = stored()
        self.assertEqual(post(UPSERT, {**ANVIL, "stock": 99}, HTTP_IF_MATCH=header).status_code, 412)
        self.assertEqual(stored(), before)


class ErrorTest(TransactionTestCase):
    def test_the_serializer_refuses(self):
        for body in (
            {**ANVIL, "serial": None},
            {"brand": "Acme", "serial": "A-17"},
            {**ANVIL, "price": "a lot"},
            {**ANVIL, "stock": -1},
            [ANVIL],
            '{"brand": "Acme"',
            json.dumps({**ANVIL, "name": float("nan")}),
        ):
            with self.subTest(body):
                self.assertEqual(post(UPSERT, body).status_code, 400)
        self.assertEqual(stored(), [])

    def test_the_database_refuses(self):
        for body, column in (KEY, '"name"'), ({**ANVIL, "price": "-1"}, '"price_not_negative"'):
            for path in UPSERT, FILTER_THEN_SAVE, UPDATE_OR_CREATE, ATOMIC:
                with self.subTest(path, body=body):
                    response = post(path, body)
                    self.assertEqual(response.status_code, 400)
                    self.assertIn(column, response.json()["detail"])
        self.assertEqual(stored(), [])

    def test_no_such_field(self):
        with self.assertRaises(Error) as raised:
            Product.objects.upsert({**ANVIL, "colour": "grey"})
        response = exception_handler(raised.exception, {})
        self.assertEqual(response.status_code, 400)
        self.assertIn("colour", response.data["detail"])

    def test_several_rows_have_the_key(self):
        with connection.cursor() as cursor:
            cursor.execute("SELECT product_upsert_unprotect('shop_product')")
            Product.objects.bulk_create([Product(**ANVIL), Product(**ANVIL)])
            cursor.execute("SELECT product_upsert_protect('shop_product')")
        self.assertEqual(post(UPSERT, ANVIL).status_code, 409)

    def test_waits_no_longer_than_lock_timeout(self):
        with another_session() as (_, cursor):
            cursor.execute("SELECT product_upsert_lock('shop_product', %s)", [json.dumps(KEY)])
            response = post(UPSERT, ANVIL)
        self.assertEqual(response.status_code, 503)
        self.assertEqual(response["Retry-After"], "1")
        self.assertEqual(stored(), [])

    def test_sqlstates(self):
        for status, sqlstates in {
            400: ["22001", "22003", "22P02", "23502", "23514", "42703"],
            409: ["21000", "23503", "23505", "23P01"],
            412: ["PT412"],
            503: ["08006", "40001", "40P01", "53300", "55P03", "57014", "57P01"],
            None: ["42P01", "42501", "42601", "55000", "XX000"],
        }.items():
            for sqlstate in sqlstates:
                with self.subTest(sqlstate):
                    response = exception_handler(self.error(sqlstate), {})
                    self.assertEqual(response and response.status_code, status)
                    self.assertEqual(response and response.get("Retry-After"), "1" if status == 503 else None)

    def test_no_server(self):
        nowhere = connection.copy()
        nowhere.settings_dict = {**nowhere.settings_dict, "HOST": "/nowhere"}
        with self.assertRaises(Error) as raised:
            nowhere.ensure_connection()
        self.assertEqual(exception_handler(raised.exception, {}).status_code, 503)

    def test_says_nothing_of_stored_values(self):
        post(UPSERT, ANVIL)
        with self.assertRaises(Error) as raised:
            Product.objects.create(**ANVIL)
        self.assertIn("A-17", str(raised.exception))
        self.assertNotIn("A-17", str(exception_handler(raised.exception, {}).data))

    def error(self, sqlstate):
        with self.assertRaises(Error) as raised, connection.cursor() as cursor:
            cursor.execute("DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = %s; END $$", [sqlstate])
        return raised.exception


class UsualWaysTest(TransactionTestCase):
    def test_create_and_update(self):
        for path in FILTER_THEN_SAVE, UPDATE_OR_CREATE, ATOMIC:
            with self.subTest(path):
                created = post(path, ANVIL)
                self.assertEqual(created.status_code, 201)
                response = post(path, {**KEY, "stock": 11})
                self.assertEqual(response.status_code, 200)
                self.assertEqual(response.json(), {**created.json(), "stock": 11})
                self.assertEqual(len(stored()), 1)
                Product.objects.all().delete()

    def test_the_guard(self):
        """Somebody has created the product, but not yet committed: it cannot be seen."""
        for path, status in (FILTER_THEN_SAVE, 409), (UPDATE_OR_CREATE, 200), (ATOMIC, 409):
            with self.subTest(path), another_session() as (session, cursor):
                cursor.execute(
                    "INSERT INTO shop_product (brand, serial, manufacturer, name)"
                    " VALUES (%(brand)s, %(serial)s, %(manufacturer)s, 'Anvil')",
                    KEY,
                )
                with in_background(lambda: post(path, ANVIL)) as [answer]:
                    wait_for_waiters(1)
                    session.commit()
                self.assertEqual(answer.result().status_code, status)
                self.assertEqual([row["stock"] for row in stored()], [12 if status == 200 else 0])
                Product.objects.all().delete()


class MigrationTest(TransactionTestCase):
    def test_there_and_back(self):
        post(UPSERT, ANVIL)
        call_command("migrate", "shop", "zero", verbosity=0)
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_extension WHERE extname = 'product_upsert'")
            self.assertEqual(cursor.fetchone(), (0,))
            self.assertNotIn("shop_product", connection.introspection.table_names(cursor))
        call_command("migrate", "shop", verbosity=0)
        self.assertEqual(post(UPSERT, ANVIL).status_code, 201)

    def test_the_index_waits_for_older_transactions(self):
        def migrate():
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '1ms'")
                call_command("migrate", "shop", verbosity=0)
                cursor.execute("SHOW lock_timeout")
                return cursor.fetchone()

        call_command("migrate", "shop", "0002", verbosity=0)
        with another_session() as (session, cursor):
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1")
            with in_background(migrate) as [migration]:
                wait_for_waiters(1, longer_than="100ms")
                session.commit()
        self.assertEqual(migration.result(), ("3s",))
