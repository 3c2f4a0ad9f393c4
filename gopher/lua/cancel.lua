-- Cancel a job: at once while it waits; a running one is marked, and its worker told by the heartbeat.
--
-- pending, scheduled, retrying -> cancelled
--
-- KEYS  1 prefix
-- ARGV  1 id  2 default retention ms
-- Returns  CANCELLED, CANCELLING (it runs), MISSING, or the state that it ended in before
-- uses: base clock arm finish
local id = ARGV[1]
local record = P .. 'job:' .. id
local fields = redis.call('HMGET', record, 'state', 'type', 'priority', 'retention', 'token')
local state = fields[1]
if not state then
  return 'MISSING'
end

if state == 'processing' then
  redis.call('HSET', record, 'cancel', 1)
  redis.call('SADD', P .. 'cancelling:' .. string.match(fields[5], '^(.*)%.'), id)
  return 'CANCELLING'
end

if state == 'pending' then
  if redis.call('LREM', P .. 'next', 1, id) == 0 then
    -- A search through a long list would hold up everybody: the id stays and is passed over later.
    local pending = P .. 'pending:' .. fields[3]
    if redis.call('LLEN', pending) > 1000 or redis.call('LREM', pending, 1, id) == 0 then
      redis.call('HINCRBY', P .. 'tombstones', fields[3], 1)
    end
  end
elseif state == 'scheduled' or state == 'retrying' then
  redis.call('ZREM', P .. state, id)
else
  return state
end

finish(id, 'cancelled', fields[4] or ARGV[2])
count('cancelled:' .. fields[2], 1)
arm()
write_counts()
return 'CANCELLED'
