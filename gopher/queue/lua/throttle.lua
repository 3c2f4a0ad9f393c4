-- Give a job back because the other side said "slow down", and hold back its whole type for a while.
-- No attempt is counted.
--
-- processing -> throttled (cancelled, when somebody asked for that meanwhile)
--
-- KEYS  1 prefix
-- ARGV  1 worker  2 id  3 token  4 ms to hold the type back  5 default retention ms
-- Returns  OK, ALREADY, STALE or MISSING (see settle)
-- uses: base clock alarm arm dead ended finish release settle rare limits
local worker, id, token = ARGV[1], ARGV[2], ARGV[3]
local record = P .. 'job:' .. id
local answer, job = settle(worker, id, token, '')
if answer ~= 'OK' then
  return answer
end

local limit = P .. 'limit:' .. job.type
local until_ms = math.max(now + tonumber(ARGV[4]), tonumber(redis.call('HGET', limit, 'held_until')) or 0)
redis.call('HINCRBY', record, 'attempts', -1)
redis.call('HSET', limit, 'held_until', until_ms)
redis.call('SADD', P .. 'limited', job.type)
if job.cancel then
  count('cancelled:' .. job.type, 1)
  finish(id, 'cancelled', job, ARGV[5])
else
  redis.call('HSET', record, 'state', 'pending', 'settled', token, 'since', now)
  local fields = read(id, 'bucket', 'priority')
  park(id, fields[1] or job.type, fields[2], true, until_ms)
  end_parking()
  alarm('throttled', earliest_look)
end
if ended_went > 0 then
  arm()
end
write_counts()
return answer
