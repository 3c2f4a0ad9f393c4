from django.db import models


class Order(models.Model):
    customer = models.CharField(max_length=40)
    job = models.CharField(max_length=40, default="")
