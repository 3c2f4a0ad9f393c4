-- Cancel a job: at once while it waits; a running one is marked, and its worker learns of it from the heartbeat.
--
-- pending, scheduled, retrying -> cancelled
--
-- KEYS  1 prefix
-- ARGV  1 id  2 default retention ms
-- Returns  CANCELLED, CANCELLING (it runs), MISSING, or the state that it ended in before

local LONGEST = 1000 -- ids in a list that is searched: a search through a longer one would keep everybody waiting

local id = ARGV[1]
local record = P .. KEY.job .. id
local fields = redis.call('HMGET', record, 'state', 'type', 'priority', 'retention', 'token', 'unique',
  'children', 'parked')
local state = fields[1]
if not state then
  return 'MISSING'
end

-- In a long list the id stays, and is skipped later.
local function remove(list)
  return redis.call('LLEN', list) <= LONGEST and redis.call('LREM', list, 1, id) == 1
end

-- A worker that was just handed the job skips it when it comes to it.
local function was_handed_over()
  for _, workers in ipairs({ P .. KEY.workers, P .. KEY.fenced }) do
    for _, worker in ipairs(redis.call('ZRANGE', workers, 0, -1)) do
      if redis.call('LPOS', P .. KEY.processing .. worker, id) then
        return true
      end
    end
  end
  return false
end

allow_when_full()
if RUNNING[state] then
  set_extra(id, 'cancel', 1)
  redis.call('SADD', P .. KEY.cancelling .. string.match(fields[5], '^(.*)%.'), id)
  return 'CANCELLING'
end
if not WAITING[state] then
  return state
end

if IS_TIMED[state] then
  redis.call('ZREM', P .. state, id)
elseif fields[8] and fields[8] ~= '' then
  remove(P .. KEY.parked .. fields[8] .. ':' .. fields[3])
elseif redis.call('LREM', P .. KEY.next, 1, id) == 0 and not was_handed_over()
    and not remove(P .. KEY.pending .. fields[3]) then
  redis.call('HINCRBY', P .. KEY.tombstones, fields[3], 1)
end

finish(id, STATE.cancelled, { retention = fields[4], unique = fields[6], children = fields[7] }, ARGV[2])
count(COUNTER.cancelled .. fields[2], 1)
ensure_next()
write_counts()
return 'CANCELLED'
