-- The dead letter queue: a dead job is in `failed`, and in the group of the jobs of its type that failed with the same
-- class of error at the same place in the code.

-- Failures are counted by class of error. Handlers can make up any number of classes, so only this many have a counter of
-- their own. One that has a counter keeps it, since a counter must never go back.
local ERROR_COUNTERS = 50

local function count_failed(job_type, error)
  local field = COUNTER.failed .. job_type .. ':' .. error
  if not counts[field] and redis.call('HEXISTS', P .. KEY.totals, field) == 0 then
    local kinds = tonumber(redis.call('HGET', P .. KEY.totals, COUNTER.kinds)) or 0
    if kinds + (counts[COUNTER.kinds] or 0) >= ERROR_COUNTERS then
      field = COUNTER.failed .. job_type .. ':other'
    else
      count(COUNTER.kinds, 1)
    end
  end
  count(field, 1)
end

-- Put a job that failed at a time (ms) into the dead letter queue, and into the group of that name.
local function put_dead_letter(id, name, at)
  local group = string.sub(redis.sha1hex(name), 1, 12)
  redis.call('HSET', P .. KEY.job .. id, 'group', group)
  redis.call('ZADD', P .. KEY.failed, at, id)
  redis.call('ZADD', P .. KEY.group .. group, at, id)
  redis.call('ZADD', P .. KEY.groups, 'GT', at, group)
  redis.call('HSET', P .. KEY.group_names, group, name)
end

-- Add a failed job. `place` is where in the handler's code it failed, '' if that is not known.
local function add_dead_letter(id, job_type, class, place)
  note_end(id, STATE.failed)
  put_dead_letter(id, job_type .. '\n' .. class .. '\n' .. place, now)
  count_failed(job_type, class)
end

local function leave_group(id, group)
  redis.call('ZREM', P .. KEY.group .. group, id)
  if redis.call('EXISTS', P .. KEY.group .. group) == 0 then
    redis.call('ZREM', P .. KEY.groups, group)
    redis.call('HDEL', P .. KEY.group_names, group)
  end
end

-- Remove a job from the dead letter queue. Returns whether it was there.
local function remove_dead_letter(id)
  if redis.call('ZREM', P .. KEY.failed, id) == 0 then
    return false
  end
  local group = read_record(id, 'group')[1]
  if group then
    leave_group(id, group)
  else
    -- The record was deleted or corrupted, so the group is not known.
    for _, each in ipairs(redis.call('ZRANGE', P .. KEY.groups, 0, -1)) do
      leave_group(id, each)
    end
  end
  return true
end
