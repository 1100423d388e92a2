from django.db import migrations, models


class Migration(migrations.Migration):
    """What has created a product. Nobody knows it of those that are there."""

    dependencies = [("shop", "0003_product_upsert")]

    operations = [
        migrations.AddField("product", "source", models.CharField(editable=False, max_length=20, null=True)),
    ]
