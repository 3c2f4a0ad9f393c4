-- Take what is due to be delivered to other queues. It stays in the outbox until `relayed` removes it; until then, or for a
-- while, no other call takes it.
--
-- KEYS  1 prefix
-- ARGV  1 how many queues  2 how many entries for each  3 ms until they may be taken again
--       4 ms for which others have not taken what is due: so that workers leave to schedulers what those do at once
-- Returns  now, when the next are due (ms, '' for never), and of each queue its name and its entries, packed (MessagePack)

allow_when_full()
local reply = { now, '' }
for _, to in ipairs(redis.call('ZRANGEBYSCORE', P .. KEY.outboxes, '-inf', now - ARGV[4], 'LIMIT', 0, ARGV[1])) do
  local entries = values_of('LRANGE', P .. KEY.outbox .. to, 0, ARGV[2] - 1)
  if #entries > 0 then
    redis.call('ZADD', P .. KEY.outboxes, now + ARGV[3], to)
    reply[#reply + 1] = to
    reply[#reply + 1] = entries
  else
    redis.call('ZREM', P .. KEY.outboxes, to)
  end
end
local head = redis.call('ZRANGE', P .. KEY.outboxes, 0, 0, 'WITHSCORES')
reply[2] = head[2] and tonumber(head[2]) or ''
return reply
