-- Remove entries from the outbox that have been delivered to a queue. A repeat removes nothing else: a later entry that says the
-- same need not be delivered again.
--
-- KEYS  1 prefix
-- ARGV  1 queue  then entries
-- Returns  how many are left for that queue

allow_when_full()
local outbox, to = P .. KEY.outbox .. ARGV[1], ARGV[1]
for i = 2, #ARGV do
  redis.call('LREM', outbox, 1, ARGV[i])
end
local left = redis.call('LLEN', outbox)
if left > 0 then
  redis.call('ZADD', P .. KEY.outboxes, now, to)
else
  redis.call('ZREM', P .. KEY.outboxes, to)
end
return left
