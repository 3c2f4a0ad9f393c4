-- Continue cancellations of all jobs that match a filter: look at more jobs, and cancel those that match. A call does a
-- limited amount of work, and the next one comes a little later, so that other calls are not delayed.
--
-- pending, scheduled, retrying -> cancelled
--
-- KEYS  1 prefix
-- ARGV  1 how many jobs to look at  2 default retention ms
-- Returns  how many were cancelled, when to continue (ms, '' for never), now

local work_left = tonumber(ARGV[1])
local COST = 8 -- to cancel a job takes as long as to look at so many
local PAUSE = 4 -- ms between two calls
local cancelled_now, stopped_now = 0, 0
allow_when_full()

-- Have a running job stopped, unless it is to be stopped already. Returns whether it was not.
local function stop(id, token)
  if read_record(id, 'cancel')[1] then
    return false
  end
  ask_to_stop(id, token)
  stopped_now = stopped_now + 1
  return true
end

-- Cancel a job that is in a place. Returns the counter that it is counted by, if any.
local function cancel_in(id, key)
  local fields = read_to_cancel(id)
  local state, priority = fields[1], fields[3]
  if RUNNING[state] then
    return stop(id, fields[5]) and 'stopping'
  elseif IS_TIMED[state] then
    redis.call('ZREM', P .. state, id)
  elseif key == KEY.next then
    redis.call('LREM', P .. key, 1, id)
  elseif key == KEY.pending .. priority or string.sub(key, 1, #KEY.pending_of) == KEY.pending_of then
    leave_pending(id, priority, fields[11])
  elseif string.sub(key, 1, #KEY.parked) == KEY.parked then
    leave_throttled(P .. key, id, priority)
  end
  end_waiting(id, fields, STATE.cancelled, COUNTER.cancelled, ARGV[2])
  cancelled_now = cancelled_now + 1
  return 'ended'
end

local function continue(plan)
  local function look(id, key)
    -- What is read at once is looked at completely, unless jobs of it were cancelled: these are not met again.
    if work_left <= 0 and cancelled_now + stopped_now > 0 then
      return false
    end
    local is_match, more_work = matches(id, plan)
    plan.looked_at, work_left = plan.looked_at + 1, work_left - 1 - more_work
    local counter = is_match and (plan.is_dry and 'matched' or cancel_in(id, key))
    if counter then
      plan[counter], work_left = plan[counter] + 1, work_left - (plan.is_dry and 0 or COST)
    end
    return true
  end

  while work_left > 0 and #plan.places > 0 do
    read_place(plan.places, look)
    work_left = work_left - 1
  end
end

local function continue_cancellation(id)
  local record = P .. KEY.cancellation .. id
  local fields = redis.call('HMGET', record, 'states', 'dry_run', 'conditions', 'places', 'began', 'looked_at', 'matched',
    'ended', 'stopping')
  if not fields[1] then
    return redis.call('ZREM', P .. KEY.cancellations, id)
  end
  local plan = {
    states = {}, is_dry = fields[2] == '1', conditions = cmsgpack.unpack(fields[3]), places = cmsgpack.unpack(fields[4]),
    began = tonumber(fields[5]), looked_at = tonumber(fields[6]), matched = tonumber(fields[7]),
    ended = tonumber(fields[8]), stopping = tonumber(fields[9]),
  }
  for _, state in ipairs(split(fields[1])) do
    plan.states[state] = true
  end
  continue(plan)
  redis.call('HSET', record, 'places', cmsgpack.pack(plan.places), 'looked_at', plan.looked_at, 'matched', plan.matched,
    'ended', plan.ended, 'stopping', plan.stopping)
  if #plan.places == 0 then
    return end_operation(KEY.cancellations, record, id, 'finished', '')
  end
  redis.call('ZADD', P .. KEY.cancellations, now + PAUSE, id)
end

for _, id in ipairs(operations_due(KEY.cancellations)) do
  if work_left > 0 then
    continue_cancellation(id)
  end
end
if cancelled_now > 0 then
  ensure_next()
end
write_counts()
return { cancelled_now, next_operation(KEY.cancellations), now }
