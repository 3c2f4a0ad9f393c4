-- Requeue an unfinished job; its attempt is not counted.
--
-- processing -> the head of pending, or scheduled with a delay
--
-- KEYS  1 prefix
-- ARGV  1 worker  2 id  3 token  4 delay ms (0: at once)  5 default retention ms
-- Returns  OK, ALREADY, STALE or MISSING (see settle)

local worker, id, token, delay = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local record = P .. KEY.job .. id
local answer, job = settle(worker, id, token, '')
if answer ~= 'OK' then
  return answer
end

redis.call('HINCRBY', record, 'attempts', -1)
if job.cancel then
  count(COUNTER.cancelled .. job.type, 1)
  finish(id, STATE.cancelled, job, ARGV[5])
elseif delay > 0 then
  count_owner(job.owner, 1)
  redis.call('HSET', record, 'state', STATE.scheduled, 'settled', token, 'due', now + delay)
  redis.call('ZADD', P .. KEY.scheduled, now + delay, id)
  wake_scheduler_if_first(KEY.scheduled, now + delay)
else
  count_owner(job.owner, 1)
  redis.call('HSET', record, 'state', STATE.pending, 'settled', token, 'since', now)
  local fields = redis.call('HMGET', record, 'priority', 'tenant')
  put_back(id, fields[1], fields[2])
end
ensure_next()
write_counts()
return answer
