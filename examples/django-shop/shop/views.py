"""Places and shows orders."""

from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from gopher.integrations.django import enqueue_on_commit

from .models import Order


@csrf_exempt
@require_POST
def place(request: HttpRequest) -> JsonResponse:
    with transaction.atomic():
        order = Order.objects.create(
            customer=request.POST["customer"], cents=int(request.POST["cents"]), card=request.POST["card"]
        )
        order.charge_job = enqueue_on_commit("shop.charge", {"order_id": order.id})
        order.save()
        if order.cents > 1_000_000:
            # Rolled back: there is neither an order nor a job.
            transaction.set_rollback(True)
            return JsonResponse({"error": "too much for one order"}, status=422)
    return JsonResponse({"id": order.id, "job": order.charge_job}, status=201)


@require_GET
def show(request: HttpRequest, order_id: int) -> JsonResponse:
    order = get_object_or_404(Order, id=order_id)
    return JsonResponse({"state": order.state, "receipts": order.receipts, "job": order.charge_job})
