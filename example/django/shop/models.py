from django.db import models

from .upsert import UpsertManager


class Product(models.Model):
    """Brand, serial and manufacturer tell one product from another. No unique constraint says so."""

    KEY = ("brand", "serial", "manufacturer")

    brand = models.CharField(max_length=100)
    serial = models.CharField(max_length=100)
    manufacturer = models.CharField(max_length=100)
    # No default: an update may leave the name out, a new product must have one. The database sees to it.
    name = models.CharField(max_length=200, default=None)
    price = models.DecimalField(max_digits=20, decimal_places=2, null=True)
    stock = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    # The endpoint that has created the product, whoever changes it afterwards.
    source = models.CharField(max_length=20, null=True, editable=False)
    # Counted up by a trigger, whoever writes.
    version = models.BigIntegerField(default=1, editable=False)

    objects = UpsertManager()

    class Meta:
        indexes = [models.Index(fields=["brand", "serial", "manufacturer"], name="shop_product_key")]
        constraints = [models.CheckConstraint(check=models.Q(price__gte=0), name="price_not_negative")]
