"""Jobs within Django's TestCase: they run as soon as they are submitted, on the scripts of a real server."""

from django.test import TestCase
from gopher.testing import EagerClient

from gopher.integrations.django import replaced_by

from .models import Order


class Orders(TestCase):
    def setUp(self) -> None:
        self.gopher = self.enterContext(EagerClient(raise_errors=False))
        self.enterContext(replaced_by(self.gopher))

    def place(self, **fields: object) -> dict:
        with self.captureOnCommitCallbacks(execute=True):
            answer = self.client.post(
                "/orders", {"customer": "ann@example.com", "cents": 990, "card": "good", **fields}
            )
        return answer.json()

    def test_an_order_is_paid_and_has_a_receipt(self) -> None:
        order = Order.objects.get(id=self.place()["id"])
        self.assertEqual((order.state, order.receipts), ("paid", 1))

    def test_a_provider_that_does_not_answer_is_asked_again(self) -> None:
        job = self.gopher.job(self.place(card="unlucky")["job"])
        self.assertEqual((job.status, job.attempts), ("completed", 3))

    def test_a_card_that_is_refused_is_not_asked_again(self) -> None:
        order = self.place(card="stolen")
        job = self.gopher.job(order["job"])
        self.assertEqual((job.status, job.attempts), ("failed", 1))
        self.assertEqual(Order.objects.get(id=order["id"]).state, "refused")

    def test_an_order_that_is_rolled_back_has_no_job(self) -> None:
        self.assertIn("error", self.place(cents=2_000_000))
        self.assertEqual((Order.objects.count(), self.gopher.jobs().jobs), (0, []))
