-- Let dead jobs start afresh: same id and history, attempts from zero.
--
-- failed -> pending
--
-- KEYS  1 prefix
-- ARGV  ids
-- Returns  how many went back
-- uses: base clock arm
local count_back = 0
open_when_full()

for i = 1, #ARGV do
  local id = ARGV[i]
  local record = P .. 'job:' .. id
  local priority = redis.call('HGET', record, 'priority')
  if priority and redis.call('ZSCORE', P .. 'failed', id) then
    redis.call('LPUSH', P .. 'pending:' .. priority, id)
    redis.call('ZREM', P .. 'failed', id)
    redis.call('HSET', record, 'state', 'pending', 'since', now, 'attempts', 0)
    redis.call('HDEL', record, 'crashes', 'lost', 'error', 'finished', 'duration', 'token', 'cancel', 'expires', 'parked')
    count_back = count_back + 1
  end
end

if count_back > 0 then
  arm()
  redis.call('HINCRBY', P .. 'totals', 'redriven', count_back)
end
return count_back
