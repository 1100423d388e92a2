# Django's ORM. The version is Debian's, or whatever python3 finds.
import json
import os

import django
from django.conf import settings
from django.db import connection, models

from lines import BRAND, MANUFACTURER, check, done, needs_retry, needs_unique_index, skip, works_unchanged

settings.configure(DATABASES={"default": {
    "ENGINE": "django.db.backends.postgresql", "NAME": os.environ["PGDATABASE"],
    "HOST": os.environ["PGHOST"], "USER": os.environ["PGUSER"]}})
django.setup()


class Product(models.Model):
    id = models.BigAutoField(primary_key=True)
    brand = models.TextField()
    serial = models.TextField()
    manufacturer = models.TextField()
    stock = models.IntegerField()

    class Meta:
        app_label = "shop"
        db_table = "product"
        managed = False


KEY = ["brand", "serial", "manufacturer"]


def closing(call):
    """Each thread has a connection of its own, which ends with the call."""
    def called(serial, stock):
        try:
            call({"brand": BRAND, "serial": serial, "manufacturer": MANUFACTURER}, stock)
        finally:
            connection.close()
    return called


def bulk_create(key, stock):
    known = set(Product.objects.values_list(*KEY))
    Product.objects.bulk_create(Product(**k, stock=stock) for k in [key] if tuple(k.values()) not in known)


works_unchanged("`update_or_create`", closing(
    lambda key, stock: Product.objects.update_or_create(**key, defaults={"stock": stock})))
works_unchanged("`get_or_create`", closing(
    lambda key, stock: Product.objects.get_or_create(**key, defaults={"stock": stock})))
needs_retry("`bulk_create` of what a query did not find", closing(bulk_create))
needs_unique_index("`bulk_create(ignore_conflicts=True)`", "23505", closing(
    lambda key, stock: Product.objects.bulk_create([Product(**key, stock=stock)], ignore_conflicts=True)))
if django.VERSION >= (4, 1):
    needs_unique_index("`bulk_create(update_conflicts=True)`", "42P10", closing(
        lambda key, stock: Product.objects.bulk_create(
            [Product(**key, stock=stock)], update_conflicts=True, unique_fields=KEY, update_fields=["stock"])))
else:
    skip("`bulk_create(update_conflicts=True)`: needs a unique index", "Django has it since 4.1")

product = {"brand": BRAND, "serial": "B-1", "manufacturer": MANUFACTURER, "stock": 12}
with connection.cursor() as cursor:
    cursor.execute("SELECT product_upsert(%s)", [json.dumps(product)])
    result = json.loads(cursor.fetchone()[0])
check((result["action"], result["product"]["stock"]), ("created", 12), "`product_upsert`: in one line")
done()
