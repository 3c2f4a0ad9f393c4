"""A payment provider as they are: some cards are refused, and at times it does not answer."""


class CardRefused(Exception):
    """The bank says no, and will say so again."""


def charge(card: str, cents: int, *, attempt: int) -> None:
    if card == "stolen":
        raise CardRefused(f"{cents} cents from a card that is blocked")
    if card == "unlucky" and attempt < 3:
        raise ConnectionError("the payment provider does not answer")
