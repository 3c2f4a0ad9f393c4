"""No worker imports this by itself."""

from django import VERSION

if VERSION >= (6,):
    from django.tasks import task

    @task
    def receipt(number):
        return number + 1
