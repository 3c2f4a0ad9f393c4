"""Durability: what has to be true of a job before its submission is acknowledged."""

#: From the weakest to the strongest, with what each means; each includes the ones before it.
DURABILITIES = {
    "stored": "the server has stored the job",
    "replicated": "enough replicas have received it, too",
    "synced": "the server and these replicas have written it to their disks",
}
STORED, REPLICATED, SYNCED = DURABILITIES
_RANKS = {name: rank for rank, name in enumerate(DURABILITIES)}


def strongest(*durabilities: str) -> str:
    """Return the strongest of some durabilities; one of a later version counts as stronger than all."""
    return max(durabilities, key=lambda name: _RANKS.get(name, len(_RANKS)), default=STORED)
