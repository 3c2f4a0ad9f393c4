-- Give a job back unfinished; its attempt is not counted.
--
-- processing -> the head of pending, or scheduled when it shall wait
--
-- KEYS  1 prefix
-- ARGV  1 worker  2 id  3 token  4 delay ms (0: at once)  5 default retention ms
-- Returns  OK, ALREADY, STALE or MISSING (see settle)
-- uses: base clock alarm arm dead ended finish release settle
local worker, id, token, delay = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local record = P .. 'job:' .. id
local answer, job = settle(worker, id, token, '')
if answer ~= 'OK' then
  return answer
end

redis.call('HINCRBY', record, 'attempts', -1)
if job.cancel then
  count('cancelled:' .. job.type, 1)
  finish(id, 'cancelled', job, ARGV[5])
elseif delay > 0 then
  redis.call('HSET', record, 'state', 'scheduled', 'settled', token, 'due', now + delay)
  redis.call('ZADD', P .. 'scheduled', now + delay, id)
  alarm('scheduled', now + delay)
else
  redis.call('HSET', record, 'state', 'pending', 'settled', token, 'since', now)
  redis.call('RPUSH', P .. 'pending:' .. redis.call('HGET', record, 'priority'), id)
end
arm()
write_counts()
return answer
