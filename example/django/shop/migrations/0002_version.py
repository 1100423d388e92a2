from django.db import migrations, models

# What the column is set to by the statement makes no difference: every update is one step.
FORWARDS = """
CREATE FUNCTION shop_product_next_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.version := OLD.version + 1;
    RETURN NEW;
END
$$;

CREATE TRIGGER next_version BEFORE UPDATE ON shop_product
    FOR EACH ROW EXECUTE FUNCTION shop_product_next_version();
"""

BACKWARDS = """
DROP TRIGGER next_version ON shop_product;
DROP FUNCTION shop_product_next_version();
"""


class Migration(migrations.Migration):
    """A version for ETags."""

    dependencies = [("shop", "0001_initial")]

    operations = [
        migrations.AddField("product", "version", models.BigIntegerField(default=1, editable=False)),
        migrations.RunSQL(FORWARDS, BACKWARDS),
    ]
