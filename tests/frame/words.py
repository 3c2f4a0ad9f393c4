"""Words and phrases that texts for users and readers must not contain, each with what to write instead.

They are archaic, private to this project, or word-for-word translations. `/` separates variants of a phrase; matching
ignores case and respects word boundaries.
"""

_LIST = """
nobody: "no one", or name it: no worker, no client
somebody / whoever: name it: a client, an operator, "anyone who"
so many: N, up to N, that many, the maximum number of
by and by: gradually, in the background
mend / mends / mended / mending: fix
by turns / in turns: alternately, interleaved
spoilt / spoil / spoils: corrupt
set aside / sets aside: quarantined, marked as corrupt
stands / stand / stood / standing: is, are
lies / lie: is, is stored
lent / lend / lends: share, reuse, hand out
gives way / give way / gave way: yields
without a word: silently
park / parks / parked / parking: throttle, throttled
held back / hold back / holds back / holding back: throttled, delayed
bell / bells: wake-up, notification, alarm
its turn / their turn / more turns / out of turn: order, next, priority, manually
what came of / what comes of / what it came of / what became of / what becomes of / became of: result, outcome
died of / dies of / die of: failed with
breaks a rule / break a rule / breaks rules / every rule: is invalid; all checks
good-bye / goodbye: deregister, disconnect, QUIT
get on / gets on: make progress
goes on / go on / went on / going on: continues
afresh / anew / begun anew: again, from scratch, new
begun: started
likewise: also
shall: must, should, will
ought: should
till: until
thereby / thereof / therein: so, of it, in it
of one's own / one's own: your own, its own
neighbour / neighbours: adjacent, other
stranger / strangers: unknown, another program
does not say / do not say / none says / is said / are said / was said / no role is said: is not given; defaults to
says how / says what / says why / says when / says which / says who: shows, describes, reports
say how / say what / say why / say when / say which / say who: show, describe, specify
tells what / tells how / tells which / tells apart / told apart / tell apart: shows, distinguishes
looks after / look after / looked after / look into: manages, handles, check
leads inside / leads outside / leads to it: resolves to, points to
another thought: cancel
is no number / is no URL / is no dead letter / is no handler / is no picture / is no address: is not a ...
knows no: does not know, has no
give out / gives out / given out / giving out / gave out: fetch, deliver, dispatch; pause or resume
give back / given back / gives back / gave back: requeue, return
verdict / verdicts: outcome, result
rehearsal / rehearse: dry run
surroundings: environment
takes long / took long: is slow, takes a long time
ripe: due
elder / eldest: older, oldest
for good: permanently
for ever: forever
of its own making: its own
leave it out / left out / leaves out: remove it, omitted, skipped
makes sure of: checks
wait in vain / in vain: without success
went back: requeued
the other side: the remote service
is not reached / can't be reached: is unreachable
is away / was away / stays away / are away: is unavailable
who asks / who waits / who calls / who runs: the client, the caller
who they are: identity
so that is / whether that is new: changed
""".strip()


def _words() -> dict[str, str]:
    rows = (line.split(":", 1) for line in _LIST.splitlines())
    return {phrase.strip(): instead.strip() for phrases, instead in rows for phrase in phrases.split(" / ")}


#: Phrase -> what to write instead.
WORDS = _words()
