-- How a job that was fetched and not begun returns to where it waited, and what it was counted for in its tenant's turn is
-- undone. Jobs that return in the reverse order come again as if they had never been fetched.

-- Undo what the last job of a tenant was counted for in the ring, if that was the last turn.
local function undo_turn(priority, tenant)
  local ring = P .. KEY.ring .. priority
  local used = tonumber(redis.call('HGET', P .. KEY.turns, priority)) or 0
  if used > 0 then
    if redis.call('LINDEX', ring, -1) == tenant then
      redis.call('HINCRBY', P .. KEY.turns, priority, -1)
    end
    return
  end
  -- Its turn is over, and so is that of nobody's jobs if there are none.
  local last = redis.call('LINDEX', ring, 0)
  if last == '' and redis.call('EXISTS', P .. KEY.pending .. priority) == 0 then
    redis.call('LMOVE', ring, ring, 'LEFT', 'RIGHT')
    last = redis.call('LINDEX', ring, 0)
  end
  if last == tenant then
    redis.call('LMOVE', ring, ring, 'LEFT', 'RIGHT')
    read_tenant_settings({ tenant })
    if tenant_settings[tenant].weight > 1 then
      redis.call('HSET', P .. KEY.turns, priority, tenant_settings[tenant].weight - 1)
    end
  end
end

-- Return whether a priority is as urgent as another one, or more.
local function is_as_urgent(priority, other)
  for _, each in ipairs(PRIORITIES) do
    if each == priority or each == other then
      return each == priority
    end
  end
  return false
end

-- Put a job to the head of the list that it waits in.
local function put_back(id, priority, tenant)
  -- The one that was chosen to be next comes after it, unless it is more urgent.
  local next_one = redis.call('LINDEX', P .. KEY.next, 0)
  local fields = next_one and read_record(next_one, 'priority', 'tenant') or {}
  if fields[1] and is_as_urgent(priority, fields[1]) then
    redis.call('LPOP', P .. KEY.next)
    push_pending('RPUSH', next_one, fields[1], fields[2])
    undo_turn(fields[1], fields[2] or '')
  end
  push_pending('RPUSH', id, priority, tenant)
  undo_turn(priority, tenant or '')
end
