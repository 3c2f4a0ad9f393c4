"""Orders."""

from django.db import models


class Order(models.Model):
    customer = models.EmailField()
    cents = models.PositiveIntegerField()
    card = models.CharField(max_length=20)
    state = models.CharField(max_length=10, default="placed")
    #: The job that charges the card: it has its id before it is stored.
    charge_job = models.CharField(max_length=40, blank=True)
    receipts = models.PositiveIntegerField(default=0)
