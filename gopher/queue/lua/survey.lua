-- Read what a queue holds, with a fixed number of commands: a scheduler polls a queue that no worker serves only now and
-- then.
--
-- KEYS  1 prefix
-- Returns  now, 1 when a worker serves it, 1 when the jobs of a lost one may have to go back, 1 when jobs wait there for
--       a worker or for their time, 1 when it holds anything at all, 1 when it holds ended jobs, 1 when types are
--       limited, when the next thing is due (ms, '' for never), and how much was counted so far. Of a queue that a
--       worker serves only the first three are read

local function bit(is)
  return is and 1 or 0
end

-- A key that is named twice counts twice, so that one command asks about both.
local workers = redis.call('EXISTS', P .. KEY.workers, P .. KEY.workers, P .. KEY.fenced)
if workers > 1 then
  -- Schedulers always serve such a queue.
  return { now, 1, workers - 2, 0, 1, 0, 0, '', 0 }
end

local function exists(...)
  return redis.call('EXISTS', ...) > 0
end

-- Return whether the pending lists hold more than ids of jobs that were cancelled there.
local function has_pending()
  local cancelled = values_of('HMGET', P .. KEY.tombstones, unpack(PRIORITIES))
  local of_tenants = values_of('HMGET', P .. KEY.tenant_ids, unpack(PRIORITIES))
  for i, priority in ipairs(PRIORITIES) do
    local pending = redis.pcall('LLEN', P .. KEY.pending .. priority)
    local all = (type(pending) == 'number' and pending or 0) + (tonumber(of_tenants[i]) or 0)
    if all > (tonumber(cancelled[i]) or 0) then
      return true
    end
  end
  return false
end

local function next_due()
  local earliest = exists(P .. KEY.telling) and now or nil
  for _, key in ipairs({ EVERY.due }) do
    local head = values_of('ZRANGE', key, 0, 0, 'WITHSCORES')
    if head[2] and (not earliest or tonumber(head[2]) < earliest) then
      earliest = tonumber(head[2])
    end
  end
  return earliest or ''
end

local filled = holds_waiting_jobs()
local waits = filled and (exists(P .. KEY.next, P .. KEY.throttled, EVERY.timed) or has_pending())
local holds = filled or workers > 0 or holds_anything_else()
local has_ended_jobs = holds and exists(P .. KEY.finished, P .. KEY.redrives, P .. KEY.cancellations, P .. KEY.batches, EVERY.dead)
local due = holds and exists(P .. KEY.telling, EVERY.due) and next_due() or ''
local counted = 0
for _, value in ipairs(values_of('HVALS', P .. KEY.totals)) do
  counted = counted + (tonumber(value) or 0)
end
return { now, 0, workers, bit(waits), bit(holds), bit(has_ended_jobs), bit(exists(P .. KEY.limited)), due, counted }
