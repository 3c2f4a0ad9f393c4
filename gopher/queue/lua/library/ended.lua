-- What the end of a job releases: its unique key, and the jobs that depend on it.

local NEVER = 8640000000000000 -- ms: the score in `scheduled` of jobs that wait for others

local function free_unique_key(id, unique)
  if unique and redis.call('GET', P .. KEY.unique .. unique) == id then
    redis.call('DEL', P .. KEY.unique .. unique)
  end
end

-- Release a job whose parents have all ended.
local function release_child(id, record)
  local fields = redis.call('HMGET', record, 'priority', 'due')
  local due = tonumber(fields[2]) or 0
  if due > now then
    redis.call('ZADD', P .. KEY.scheduled, due, id)
    wake_scheduler_if_first(KEY.scheduled, due)
    return
  end
  redis.call('LPUSH', P .. KEY.pending .. fields[1], id)
  redis.call('ZREM', P .. KEY.scheduled, id)
  redis.call('HSET', record, 'state', STATE.pending, 'since', now)
end

-- Fail a job because one of its parents did not complete.
local function fail_child(parent, id, record, job_type)
  redis.call('ZREM', P .. KEY.scheduled, id)
  redis.call('HSET', record, 'state', STATE.failed, 'finished', now, 'error',
    '{"type":"ParentFailed","message":"the job ' .. parent .. ' that it waits for did not complete","permanent":true}')
  redis.call('HDEL', record, 'waiting_for')
  add_dead_letter(id, job_type, 'ParentFailed', '')
end

local notifications_left = 200 -- children that one call notifies: a job may have many thousands

-- Notify a child that one of its parents has ended. Returns whether the child may start now, and the children that fail
-- with it.
local function notify_child(child, parent, succeeded)
  local record = P .. KEY.job .. child
  local fields = read_record(child, 'state', 'waiting_for', 'on_parent_failure', 'children', 'type', 'unique')
  if fields[1] ~= STATE.scheduled or not fields[2] then
    return false
  end
  if not succeeded and fields[3] ~= 'run' then
    fail_child(parent, child, record, fields[5])
    free_unique_key(child, fields[6])
    redis.call('HDEL', record, 'children')
    return false, fields[4]
  end
  if redis.call('HINCRBY', record, 'waiting_for', -1) > 0 then
    return false
  end
  redis.call('HDEL', record, 'waiting_for')
  release_child(child, record)
  return true
end

-- Notify the children of a job (ids, joined by commas) that it has ended; a child that fails with it notifies its own.
-- `promote` goes on with those that this call does not reach. Returns how many went to pending.
local function notify_children(id, succeeded, children)
  local families, released = { { id, succeeded, children } }, 0
  while #families > 0 do
    local parent, good, ids = unpack(table.remove(families))
    local at = 1
    while at <= #ids and notifications_left > 0 do
      local comma = string.find(ids, ',', at, true) or #ids + 1
      local may_start, theirs = notify_child(string.sub(ids, at, comma - 1), parent, good)
      released = released + (may_start and 1 or 0)
      if theirs then
        families[#families + 1] = { string.sub(ids, at, comma - 1), false, theirs }
      end
      at, notifications_left = comma + 1, notifications_left - 1
    end
    if at <= #ids then
      redis.call('RPUSH', P .. KEY.telling, (good and '+' or '-') .. parent .. ' ' .. string.sub(ids, at))
      wake_scheduler(now)
    end
  end
  return released
end

-- Notify children that earlier calls did not reach. Returns how many went to pending.
local function notify_remaining_children()
  local released = 0
  while notifications_left > 0 do
    local left = redis.call('LPOP', P .. KEY.telling)
    if not left then
      break
    end
    local sign, parent, ids = string.match(left, '^([+-])(%S+) (.*)$')
    released = released + notify_children(parent, sign == '+', ids)
  end
  return released
end

local children_released = 0 -- how many went to pending

-- Call when a job has ended; `job` has its fields `unique` and `children`.
local function after_end(id, succeeded, job)
  free_unique_key(id, job.unique)
  if job.children then
    children_released = children_released + notify_children(id, succeeded, job.children)
    -- A dead letter that is redriven ends a second time: its children are notified once.
    local is_kept_record = redis.call('HDEL', P .. KEY.job .. id, 'children') == 1
    if succeeded and is_kept_record then
      -- They will read its result: until they have ended, its record is not removed early when memory runs out.
      redis.call('HSET', P .. KEY.job .. id, 'readers', job.children)
    end
  end
end
