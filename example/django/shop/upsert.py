"""
product_upsert as a method of a model's manager.
"""
import json
from decimal import Decimal

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, models


class UpsertManager(models.Manager):
    def upsert(self, values, if_match=None, on_create=None):
        """
        Creates the row that has the key in values, or updates it. Returns the object as it is stored
        now, and whether it was created.

        What values leaves out keeps its stored value, or gets the column's default. With if_match, a
        dictionary of columns and values, the row must be there and have these; else nothing is written,
        and the error has SQLSTATE PT412. The values in on_create count only if the row is created.
        """
        result = self._call(values, if_match=if_match, on_create=on_create)
        return self._object(result["product"]), result["action"] == "created"

    def upsert_each(self, rows, on_create=None):
        """
        Does that for each of rows, a list, but one that fails does not keep the others from being written.
        Returns the results of product_upsert in the same order: "product" is an object here, and where
        "action" is "failed", "error" says why.

        Only what is wrong with a row is a result. All else is an error, and nothing is written. So is a foreign
        key that refers to nothing: Django's are checked at commit, unless SET CONSTRAINTS ALL IMMEDIATE is
        executed before, in the same transaction.
        """
        results = self._call(rows, on_create=on_create, on_error="report")
        for result in results:
            if result.get("product"):
                result["product"] = self._object(result["product"])
        return results

    def _call(self, payload, if_match=None, on_create=None, on_error="stop"):
        table = connection.ops.quote_name(self.model._meta.db_table)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT product_upsert(%s, %s, %s, on_create => %s, on_error => %s)",
                [table, to_json(payload), to_json(if_match), to_json(on_create), on_error],
            )
            return from_json(cursor.fetchone()[0])

    def _object(self, row):
        fields = self.model._meta.concrete_fields
        return self.model.from_db(
            connection.alias,
            [field.attname for field in fields],
            [field.to_python(row[field.column]) for field in fields],
        )


# Numbers with a fraction are exact both ways: a Decimal goes as a string, which PostgreSQL reads as what the
# column is, and what comes back never becomes a float.
def to_json(values):
    return None if values is None else json.dumps(values, cls=DjangoJSONEncoder)


def from_json(text):
    return json.loads(text, parse_float=Decimal)
