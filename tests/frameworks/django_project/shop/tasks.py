"""Tasks of Django's own framework."""

from django import VERSION

if VERSION >= (6,):
    from django.tasks import task

    from .models import Order

    class Broken(Exception):
        """Of this module, so that its path is more than its name."""

    @task
    def greet(name, punctuation="!"):
        """Greets a person by name."""
        Order.objects.count()
        return f"Hello {name}{punctuation}"

    @task(queue_name="mail", priority=5)
    async def agreet(name):
        await Order.objects.acount()
        return [name]

    @task(takes_context=True)
    def again(context, until):
        if context.attempt < until:
            raise Broken(f"not in attempt {context.attempt}")
        return context.attempt
