from django.contrib.postgres.operations import AddIndexConcurrently, CreateExtension
from django.db import migrations, models


class Migration(migrations.Migration):
    """The extension, and what it needs of the table. Reads and writes go on meanwhile."""

    atomic = False  # else the index could not be built concurrently

    dependencies = [("shop", "0002_version")]

    operations = [
        CreateExtension("product_upsert"),
        # Django before 5.0 keeps defaults to itself. (After that, db_default is an argument of the field.)
        migrations.RunSQL(
            "ALTER TABLE shop_product ALTER stock SET DEFAULT 0, ALTER created_at SET DEFAULT now(),"
            " ALTER version SET DEFAULT 1",
            "ALTER TABLE shop_product ALTER stock DROP DEFAULT, ALTER created_at DROP DEFAULT,"
            " ALTER version DROP DEFAULT",
        ),
        # This waits for transactions that were there before, which holds up nobody. The timeout in the settings
        # would end it half-way.
        migrations.RunSQL("SET lock_timeout = 0", "RESET lock_timeout"),
        AddIndexConcurrently(
            "product", models.Index(fields=["brand", "serial", "manufacturer"], name="shop_product_key")
        ),
        migrations.RunSQL("RESET lock_timeout", "SET lock_timeout = 0"),
    ]
