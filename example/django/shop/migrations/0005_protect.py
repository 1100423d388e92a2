from django.db import migrations


class Migration(migrations.Migration):
    """No new duplicates from here on, whoever writes. Those that are there stay."""

    dependencies = [("shop", "0004_source")]

    operations = [
        migrations.RunSQL(
            "SELECT product_upsert_protect('shop_product')",
            "SELECT product_upsert_unprotect('shop_product')",
        ),
    ]
