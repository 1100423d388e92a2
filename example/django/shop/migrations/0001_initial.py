from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    operations = [
        migrations.CreateModel(
            name="Product",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("brand", models.CharField(max_length=100)),
                ("serial", models.CharField(max_length=100)),
                ("manufacturer", models.CharField(max_length=100)),
                ("name", models.CharField(default=None, max_length=200)),
                ("price", models.DecimalField(decimal_places=2, max_digits=20, null=True)),
                ("stock", models.PositiveIntegerField(default=0)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
        ),
        migrations.AddConstraint(
            model_name="product",
            constraint=models.CheckConstraint(check=models.Q(price__gte=0), name="price_not_negative"),
        ),
    ]
