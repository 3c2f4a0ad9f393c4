-- Jobs that wait for others. A job's record names the first of its children (ids, joined by commas); the others are in the
-- list children:<id>, so that many children do not make each new one rewrite all of them.

local NEVER = 8640000000000000 -- ms: the score in `scheduled` of jobs that wait for others
-- Bytes of ids that a record names: 200. Processes of earlier versions notify only those.
local NAMED = 200 * 37 - 1

-- Add children to a job that has not ended. `named` are those that its record names, or nil.
local function add_children(id, named, ids)
  local at = 1
  while ids[at] and #(named or '') < NAMED do
    named = named and named .. ',' .. ids[at] or ids[at]
    at = at + 1
  end
  if at > 1 then
    set_extra(id, 'children', named)
  end
  if ids[at] then
    push_ids('RPUSH', P .. KEY.children .. id, ids, at)
    redis.call('SADD', P .. KEY.families, id)
  end
end

-- Release a job whose parents have all ended.
local function release_child(id, record)
  local fields = redis.call('HMGET', record, 'priority', 'due', 'tenant')
  local due = tonumber(fields[2]) or 0
  if due > now then
    redis.call('ZADD', P .. KEY.scheduled, due, id)
    wake_scheduler_if_first(KEY.scheduled, due)
    return
  end
  push_pending('LPUSH', id, fields[1], fields[3])
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
  local fields = read_record(child, 'state', 'waiting_for', 'on_parent_failure', 'children', 'type', 'unique', 'owner', 'tells')
  if fields[1] ~= STATE.scheduled or not fields[2] then
    return false
  end
  if not succeeded and fields[3] ~= 'run' then
    fail_child(parent, child, record, fields[5])
    free_unique_key(child, fields[6], true)
    if fields[8] then
      post_state(child, STATE.failed, fields[8])
    end
    if fields[7] then
      redis.call('HINCRBY', P .. KEY.waiting, fields[7], -1)
    end
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

-- Notify the children of a job that has ended; a child that fails with it notifies its own. `promote` goes on with those
-- that this call does not reach. `named` are those that its record named. Returns how many went to pending.
local function notify_children(id, succeeded, named)
  -- Take those children of an ended job which this call may notify: those that its record named, then those of its list,
  -- which keeps the others. Returns their ids, and whether there may be more. (In here it costs other calls nothing.)
  local function take_children(parent, named_by_parent)
    local ids, key = split(named_by_parent), P .. KEY.children .. parent
    if #ids > notifications_left then
      -- Earlier versions name all of them.
      for _ = notifications_left + 1, #ids do
        redis.call('LPUSH', key, table.remove(ids))
      end
      redis.call('SADD', P .. KEY.families, parent)
      return ids, true
    end
    local room = notifications_left - #ids
    local others = room > 0 and redis.call('LPOP', key, room) or {}
    for _, other in ipairs(others) do
      ids[#ids + 1] = other
    end
    if #others < room and (#others > 0 or named_by_parent == '') then
      redis.call('SREM', P .. KEY.families, parent)
    end
    return ids, #others == room
  end

  local families, released = { { id, succeeded, named } }, 0
  while #families > 0 do
    local parent, good, theirs = unpack(table.remove(families))
    local ids, has_more = take_children(parent, theirs)
    notifications_left = notifications_left - #ids
    for _, child in ipairs(ids) do
      local may_start, named_by_child = notify_child(child, parent, good)
      released = released + (may_start and 1 or 0)
      if named_by_child then
        families[#families + 1] = { child, false, named_by_child }
      end
    end
    if good then
      add_readers(parent, ids)
    end
    if has_more then
      redis.call('RPUSH', P .. KEY.telling, (good and '+' or '-') .. parent .. ' ')
      wake_scheduler(now)
    end
  end
  return released
end

-- Processes of earlier versions do not know the lists: have the children notified of those parents that ended in one.
local function find_forgotten_children()
  if redis.call('EXISTS', P .. KEY.telling) == 1 then
    -- What is under way says better how the job has ended.
    return
  end
  for _, id in ipairs(redis.call('SRANDMEMBER', P .. KEY.families, 20)) do
    if has_ended(id) then
      -- A record that is gone does not tell how its job ended: a dead letter can be redriven.
      local state = read_record(id, 'state')[1]
      redis.call('RPUSH', P .. KEY.telling, (SUCCEEDED[state] and '+' or '-') .. id .. ' ')
    end
  end
end

-- Notify children that earlier calls did not reach. Returns how many went to pending.
local function notify_remaining_children()
  local released = 0
  while notifications_left > 0 do
    local left = redis.call('LPOP', P .. KEY.telling)
    if not left then
      break
    end
    -- Earlier versions also put the ids of the children there.
    local sign, parent, ids = string.match(left, '^([+-])(%S+) (.*)$')
    released = released + notify_children(parent, sign == '+', ids)
  end
  return released
end
