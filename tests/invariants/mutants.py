"""Bugs planted into the scripts, each of which the state machine must find: a checker that finds none proves little."""

from .lab import Mutation

MUTANTS: dict[str, Mutation] = {
    "no token check": ("shared/settle", "if fields[1] ~= token then", "if false then"),
    "no check that it still runs": ("shared/settle", "if fields[2] ~= 'processing' then", "if false then"),
    "settled without leaving the list": (
        "shared/settle",
        "redis.call('LREM', P .. 'processing:' .. worker, -1, id)",
        "local _ = worker",
    ),
    "no duplicate check": ("enqueue", "if redis.call('EXISTS', record) == 1 then", "if false then"),
    "rescue leaves the job in the list": ("rescue", "redis.call('LPOP', own)", "redis.call('LINDEX', own, 0)"),
    "rescue keeps the token": ("rescue", "redis.call('HDEL', record, 'token', 'progress')", "local _ = record"),
    "rescue does not fence": ("rescue", "redis.call('ZREM', P .. 'workers', worker)", "local _ = worker"),
    "no re-arm after a fetch": ("fetch", "local more = arm(from_here())", "local more = false"),
    "no arming by enqueue": ("enqueue", "\narm()\n", "\n"),
    "no arming by promote": ("promote", "  arm()\n", "  local _ = arm\n"),
    "a requeue does not refund": ("requeue", "redis.call('HINCRBY', record, 'attempts', -1)", "local _ = record"),
    "promoted and still scheduled": ("promote", "redis.call('ZREM', waiting, id)", "local _ = waiting"),
    "cancelled without a word in the list": (
        "cancel",
        "redis.call('HINCRBY', P .. 'tombstones', fields[3], 1)",
        "local _ = fields",
    ),
    "a lost reply gives new tokens": ("fetch", "if given < first then", "if true then"),
    "a dead letter keeps its attempts": ("shared/revive", ", 'attempts', 0)", ")"),
    "a fetch by a lost worker is served": ("fetch", "return { 'LOST' }", "local _ = own"),
    "a unique key stays taken": ("shared/ended", "redis.call('DEL', P .. 'unique:' .. unique)", "local _ = unique"),
    "a place stays taken": ("shared/release", "redis.call('SREM', P .. 'holding:' .. bucket, id)", "local _ = id"),
    "children are not told": ("shared/ended", "let_go(child, record)", "local _ = let_go"),
    "parked and not removed": (
        "fetch",
        "  redis.call('LREM', own, 1, id)\n  parks_left",
        "  parks_left",
    ),
    "it is never too late": ("fetch", "if job.expires and tonumber(job.expires) <= now then", "if false then"),
    "given back to the end": ("requeue", "redis.call('RPUSH', P .. 'pending:'", "redis.call('LPUSH', P .. 'pending:'"),
    "a clock that was set takes leases": ("rescue", "if math.abs(step) > STEP_TOLERANCE and", "if false and"),
    "who leaves is forgotten at once": ("resign", "redis.call('ZADD', P .. 'fenced', now, ARGV[1])", "local _ = now"),
    "nothing armed after a purge": ("purge", "if state == 'pending' or ended_went > 0 then", "if false then"),
    "the worker is not told whom to stop": (
        "cancel",
        "redis.call('SADD', P .. 'cancelling:'",
        "redis.call('SISMEMBER', P .. 'cancelling:'",
    ),
    "dead on arrival with a unique key": ("enqueue", "    free_unique(id, ARGV[i + 7])\n", ""),
    "children are told twice": ("shared/ended", "redis.call('HDEL', P .. 'job:' .. id, 'children')", "local _ = id"),
    "a bucket that nobody looks at": (
        "shared/limits",
        "      redis.call('ZADD', P .. 'throttled', look_at or now, bucket)",
        "      redis.call('ZREM', P .. 'throttled', bucket)",
    ),
    "a dead letter stays in its group": (
        "shared/dead",
        "redis.call('ZREM', P .. 'group:' .. group, id)",
        "local _ = id",
    ),
    "an empty group is still known": ("shared/dead", "redis.call('ZREM', P .. 'groups', group)", "local _ = group"),
    "dead with its parent and in no group": (
        "shared/ended",
        "  bury(id, job_type, 'ParentFailed', '')",
        "  redis.call('ZADD', P .. 'failed', now, id)",
    ),
    "the rest follows whatever becomes of the first": (
        "continue_redrives",
        "if ended < #split(plan.canaries) then",
        "if false then",
    ),
    "a redrive that nobody goes on with": (
        "start_redrive",
        "redis.call('ZADD', P .. 'redrives', now, id)",
        "local _ = id",
    ),
    "a result for ever": ("shared/finish", "redis.call('PEXPIRE', record, retention)", "local _ = record"),
    "started before its time": ("promote", "'-inf', now, 'WITHSCORES'", "'-inf', '+inf', 'WITHSCORES'"),
}
