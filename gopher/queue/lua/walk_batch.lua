-- Begin to cancel all jobs of a batch that have not ended, which seals it, or to retry all that have failed. Schedulers do it
-- gradually (continue_batches).
--
-- KEYS  1 prefix
-- ARGV  1 id  2 cancel or redrive
-- Returns  STARTED, MISSING, or BUSY when the other one is under way

local id, walk = ARGV[1], ARGV[2]
local record = P .. KEY.batch .. id
allow_when_full()
local fields = redis.call('HMGET', record, 'created', 'walk')
if not fields[1] then
  return 'MISSING'
elseif fields[2] and fields[2] ~= walk and fields[2] ~= PROBING then
  return 'BUSY'
end
if walk == CANCELLING then
  redis.call('HSETNX', record, 'cancelled_at', now)
  if redis.call('HSETNX', record, 'sealed_at', now) == 1 then
    check_batch(id)
  end
end
if fields[2] ~= walk then
  redis.call('HSET', record, 'walk', walk, 'cursor', 0)
end
redis.call('ZADD', P .. KEY.batch_work, now, id)
wake_scheduler_if_first(KEY.batch_work, now)
return 'STARTED'
