-- The dead letter queue: a dead job stands in `failed`, and in the group of those of its type that died of
-- the same class of error at the same place.

-- Count a failed job by the class of its error. Handlers make classes up at will, so there are so many kinds and no
-- more; a kind that has been counted once has its own count for ever, or its sum would go back some day.
local KINDS = 50

local function count_failed(job_type, error)
  local field = 'failed:' .. job_type .. ':' .. error
  if not counts[field] and redis.call('HEXISTS', P .. 'totals', field) == 0 then
    local kinds = tonumber(redis.call('HGET', P .. 'totals', 'kinds')) or 0
    if kinds + (counts.kinds or 0) >= KINDS then
      field = 'failed:' .. job_type .. ':other'
    else
      count('kinds', 1)
    end
  end
  count(field, 1)
end

-- Put a job into it. `place` is where in the handler's code it failed, '' where nobody can say.
local function bury(id, job_type, class, place)
  local name = job_type .. '\n' .. class .. '\n' .. place
  local group = string.sub(redis.sha1hex(name), 1, 12)
  redis.call('HSET', P .. 'job:' .. id, 'group', group)
  redis.call('ZADD', P .. 'failed', now, id)
  redis.call('ZADD', P .. 'group:' .. group, now, id)
  redis.call('ZADD', P .. 'groups', now, group)
  redis.call('HSET', P .. 'group_names', group, name)
  count_failed(job_type, class)
end

local function leave_group(id, group)
  redis.call('ZREM', P .. 'group:' .. group, id)
  if redis.call('EXISTS', P .. 'group:' .. group) == 0 then
    redis.call('ZREM', P .. 'groups', group)
    redis.call('HDEL', P .. 'group_names', group)
  end
end

-- Take a job out of it. Returns whether it was there.
local function exhume(id)
  if redis.call('ZREM', P .. 'failed', id) == 0 then
    return false
  end
  local group = read(id, 'group')[1]
  if group then
    leave_group(id, group)
  else
    -- Somebody has deleted its record, or corrupt it.
    for _, each in ipairs(redis.call('ZRANGE', P .. 'groups', 0, -1)) do
      leave_group(id, each)
    end
  end
  return true
end
