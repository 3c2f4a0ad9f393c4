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

-- Tell the children of a job that it has ended; a child that fails with it tells its own.
-- Returns how many went to pending.
local function tell_children(id, completed, children)
  local told, went = { { id, completed, children } }, 0
  while #told > 0 do
    local parent, good, ids = unpack(table.remove(told))
    for child in string.gmatch(ids or '', '[^,]+') do
      local record = P .. 'job:' .. child
      local fields = redis.call('HMGET', record, 'state', 'waiting_for', 'on_parent_failure', 'children', 'type', 'unique')
      if fields[1] == 'scheduled' and fields[2] then
        if not good and fields[3] ~= 'run' then
          fail_with(parent, child, record, fields[5])
          free_unique(child, fields[6])
          redis.call('HDEL', record, 'children')
          told[#told + 1] = { child, false, fields[4] }
        elseif redis.call('HINCRBY', record, 'waiting_for', -1) <= 0 then
          redis.call('HDEL', record, 'waiting_for')
          let_go(child, record)
          went = went + 1
        end
      end
    end
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
    redis.call('HDEL', P .. 'job:' .. id, 'children')
  end
end
