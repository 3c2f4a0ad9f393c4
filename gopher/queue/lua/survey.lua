-- Look what a queue holds, with a few commands whatever that is: a scheduler asks a queue that no worker serves only now
-- and then.
--
-- KEYS  1 prefix
-- Returns  now, 1 when a worker serves it, 1 when the jobs of a lost one may have to go back, 1 when jobs wait there for
--       a worker or for their time, 1 when it holds anything at all, 1 when it holds ended jobs, 1 when types are
--       limited, when the next thing is due (ms, '' for never), and how much was counted so far. Of a queue that a
--       worker serves no more than the first three are looked for
-- uses: base clock holds values
local function bit(is)
  return is and 1 or 0
end

local function next_due()
  local earliest = exist({ 'telling' }) and now or nil
  for _, name in ipairs({ 'scheduled', 'retrying', 'throttled', 'ticks', 'redrives' }) do
    local head = values_of('ZRANGE', P .. name, 0, 0, 'WITHSCORES')
    if head[2] and (not earliest or tonumber(head[2]) < earliest) then
      earliest = tonumber(head[2])
    end
  end
  return earliest
end

-- A key that is named twice counts twice, so that one look tells both.
local workers = redis.call('EXISTS', P .. 'workers', P .. 'workers', P .. 'fenced')
if workers > 1 then
  -- Such a queue is looked after all the time.
  return { now, 1, workers - 2, 0, 1, 0, 0, '', 0 }
end

-- Whether more stands in the pending lists than ids of jobs that were cancelled there.
local function some_pending()
  local cancelled = values_of('HMGET', P .. 'tombstones', 'high', 'normal', 'low')
  for i, priority in ipairs({ 'high', 'normal', 'low' }) do
    local pending = redis.pcall('LLEN', P .. 'pending:' .. priority)
    if type(pending) == 'number' and pending > (tonumber(cancelled[i]) or 0) then
      return true
    end
  end
  return false
end

local filled = exist(FILLED)
local waits = filled and (exist({ 'next', 'throttled', 'scheduled', 'retrying' }) or some_pending())
local holds = filled or workers > 0 or exist(KEPT)
local ended = holds and exist({ 'finished', 'failed', 'redrives' })
local due = holds and exist({ 'telling', 'scheduled', 'retrying', 'throttled', 'ticks', 'redrives' }) and next_due() or ''
local counted = 0
for _, count in ipairs(values_of('HVALS', P .. 'totals')) do
  counted = counted + (tonumber(count) or 0)
end
return { now, 0, workers, bit(waits), bit(holds), bit(ended), bit(exist({ 'limited' })), due, counted }
