"""The table of orders."""

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="Order",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("customer", models.EmailField(max_length=254)),
                ("cents", models.PositiveIntegerField()),
                ("card", models.CharField(max_length=20)),
                ("state", models.CharField(default="placed", max_length=10)),
                ("charge_job", models.CharField(blank=True, max_length=40)),
                ("receipts", models.PositiveIntegerField(default=0)),
            ],
        )
    ]
