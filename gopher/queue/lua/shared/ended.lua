-- What the end of a job sets free: its unique key, and the jobs that wait for it.

local NEVER = 8640000000000000 -- ms: where jobs that wait for others stand in `scheduled`

local function free_unique(id, unique)
  if unique and redis.call('GET', P .. 'unique:' .. unique) == id then
    redis.call('DEL', P .. 'unique:' .. unique)
  end
end

-- Let a job go whose parents have all ended.
local function let_go(id, record)
  local fields = redis.call('HMGET', record, 'priority', 'due')
  local due = tonumber(fields[2]) or 0
  if due > now then
    redis.call('ZADD', P .. 'scheduled', due, id)
    alarm('scheduled', due)
    return
  end
  redis.call('LPUSH', P .. 'pending:' .. fields[1], id)
  redis.call('ZREM', P .. 'scheduled', id)
  redis.call('HSET', record, 'state', 'pending', 'since', now)
end

-- Give a job up because one of its parents did not complete.
local function fail_with(parent, id, record, job_type)
  redis.call('ZREM', P .. 'scheduled', id)
  redis.call('HSET', record, 'state', 'failed', 'finished', now, 'error',
    '{"type":"ParentFailed","message":"the job ' .. parent .. ' that it waits for did not complete","permanent":true}')
  redis.call('HDEL', record, 'waiting_for')
  bury(id, job_type, 'ParentFailed', '')
end

local to_tell = 200 -- children that one call tells: a job may have many thousands

-- Tell a child that one of its parents has ended. Returns whether it may go now, and the children that fail with it.
local function tell(child, parent, good)
  local record = P .. 'job:' .. child
  local fields = read(child, 'state', 'waiting_for', 'on_parent_failure', 'children', 'type', 'unique')
  if fields[1] ~= 'scheduled' or not fields[2] then
    return false
  end
  if not good and fields[3] ~= 'run' then
    fail_with(parent, child, record, fields[5])
    free_unique(child, fields[6])
    redis.call('HDEL', record, 'children')
    return false, fields[4]
  end
  if redis.call('HINCRBY', record, 'waiting_for', -1) > 0 then
    return false
  end
  redis.call('HDEL', record, 'waiting_for')
  let_go(child, record)
  return true
end

-- Tell the children of a job (ids, joined by commas) that it has ended; a child that fails with it tells its own.
-- Those that this call does not come to are left to `promote`. Returns how many went to pending.
local function tell_children(id, completed, children)
  local families, went = { { id, completed, children } }, 0
  while #families > 0 do
    local parent, good, ids = unpack(table.remove(families))
    local at = 1
    while at <= #ids and to_tell > 0 do
      local comma = string.find(ids, ',', at, true) or #ids + 1
      local may_go, theirs = tell(string.sub(ids, at, comma - 1), parent, good)
      went = went + (may_go and 1 or 0)
      if theirs then
        families[#families + 1] = { string.sub(ids, at, comma - 1), false, theirs }
      end
      at, to_tell = comma + 1, to_tell - 1
    end
    if at <= #ids then
      redis.call('RPUSH', P .. 'telling', (good and '+' or '-') .. parent .. ' ' .. string.sub(ids, at))
      ring(now)
    end
  end
  return went
end

-- Go on with telling children. Returns how many went to pending.
local function tell_more()
  local went = 0
  while to_tell > 0 do
    local left = redis.call('LPOP', P .. 'telling')
    if not left then
      break
    end
    local sign, parent, ids = string.match(left, '^([+-])(%S+) (.*)$')
    went = went + tell_children(parent, sign == '+', ids)
  end
  return went
end

local ended_went = 0

-- Call when a job has ended; `job` has its fields `unique` and `children`.
local function ended(id, completed, job)
  free_unique(id, job.unique)
  if job.children then
    ended_went = ended_went + tell_children(id, completed, job.children)
    -- A dead letter that is redriven ends a second time: they are told once.
    local is_kept_record = redis.call('HDEL', P .. 'job:' .. id, 'children') == 1
    if completed and is_kept_record then
      -- They will read its result: until they have ended, its record does not give way when memory runs out.
      redis.call('HSET', P .. 'job:' .. id, 'readers', job.children)
    end
  end
end
