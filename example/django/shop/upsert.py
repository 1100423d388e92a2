"""
product_upsert as a method of a model's manager.
"""
import json
from decimal import Decimal

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, models


class UpsertManager(models.Manager):
    def upsert(self, values, if_match=None):
        """
        Creates the row that has the key in values, or updates it. Returns the object as it is stored
        now, and whether it was created.

        What values leaves out keeps its stored value, or gets the column's default. With if_match, a
        dictionary of columns and values, the row must be there and have these; else nothing is written,
        and the error has SQLSTATE PT412.
        """
        table = connection.ops.quote_name(self.model._meta.db_table)
        with connection.cursor() as cursor:
            cursor.execute("SELECT product_upsert(%s, %s, %s)", [table, to_json(values), to_json(if_match)])
            result = from_json(cursor.fetchone()[0])
        return self._object(result["product"]), result["action"] == "created"

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
