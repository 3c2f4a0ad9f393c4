-- Cancel a job: at once while it waits; a running one is marked, and its worker told by the heartbeat.
--
-- pending, scheduled, retrying -> cancelled
--
-- KEYS  1 prefix
-- ARGV  1 id  2 default retention ms
-- Returns  CANCELLED, CANCELLING (it runs), MISSING, or the state that it ended in before
-- uses: base clock rare alarm arm dead ended finish
local id = ARGV[1]
local record = P .. 'job:' .. id
local fields = redis.call('HMGET', record, 'state', 'type', 'priority', 'retention', 'token', 'unique',
  'children', 'parked')
local state = fields[1]
if not state then
  return 'MISSING'
end

-- A search through a long list would hold up everybody: there the id stays, and is passed over later.
local function remove(list)
  return redis.call('LLEN', list) <= 1000 and redis.call('LREM', list, 1, id) == 1
end

-- A worker that was just handed the job passes over it when it looks.
local function handed_over()
  for _, workers in ipairs({ 'workers', 'fenced' }) do
    for _, worker in ipairs(redis.call('ZRANGE', P .. workers, 0, -1)) do
      if redis.call('LPOS', P .. 'processing:' .. worker, id) then
        return true
      end
    end
  end
  return false
end

open_when_full()
if state == 'processing' then
  set_rare(id, 'cancel', 1)
  redis.call('SADD', P .. 'cancelling:' .. string.match(fields[5], '^(.*)%.'), id)
  return 'CANCELLING'
end

if state == 'pending' then
  local parked = fields[8] and fields[8] ~= ''
  if parked then
    remove(P .. 'throttled:' .. fields[8] .. ':' .. fields[3])
  elseif redis.call('LREM', P .. 'next', 1, id) == 0 and not handed_over()
      and not remove(P .. 'pending:' .. fields[3]) then
    redis.call('HINCRBY', P .. 'tombstones', fields[3], 1)
  end
elseif state == 'scheduled' or state == 'retrying' then
  redis.call('ZREM', P .. state, id)
else
  return state
end

finish(id, 'cancelled', { retention = fields[4], unique = fields[6], children = fields[7] }, ARGV[2])
count('cancelled:' .. fields[2], 1)
arm()
write_counts()
return 'CANCELLED'
