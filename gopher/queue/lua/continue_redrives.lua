-- Continue gradual redrives: check the canaries, and once they have completed redrive more, at the rate.
--
-- failed -> pending
--
-- KEYS  1 prefix
-- ARGV  1 limit  2 default retention ms
-- Returns  how many were redriven, when to continue (ms, '' for never), now

local redrives_left = tonumber(ARGV[1])
local redriven = 0
local CANARY_KEPT = 3600000 -- ms for which the record of a canary is kept at least, so that its end is seen
local CHECK_EVERY = 500 -- ms between two checks of the canaries
local SHORTEST_WAIT = 20 -- ms: at a higher rate, several are redriven at a time
local LOOKED_AT = 2000 -- dead letters of all tenants that a call looks at for those of one
local CATCH_UP = 100 -- ms: after a longer time without a call, the rate does not catch up
allow_when_full()

-- Return ids of dead letters of before `began`, at most `of_each` from each key and `want` in all. The oldest ones of a
-- key come first.
local function oldest(keys, began, want, of_each)
  local ids = {}
  for _, key in ipairs(keys) do
    local most = math.min(of_each, want - #ids)
    for _, id in ipairs(most > 0 and redis.call('ZRANGEBYSCORE', key, '-inf', began, 'LIMIT', 0, most) or {}) do
      ids[#ids + 1] = id
    end
  end
  return ids
end

-- Return ids of a tenant's dead letters in the same way, and whether some are left to look at. Those of others stay where they
-- are: for each key, `passed:<key>` has the last one that was looked at, and when that died.
local function oldest_of_tenant(plan, keys, want, of_each)
  local ids, looks_left = {}, LOOKED_AT
  local function take(key)
    local most, passed = #ids + math.min(of_each, want - #ids), redis.call('HGET', plan.record, 'passed:' .. key)
    local last, fell = string.match(passed or '', '^(%S+) (%S+)$')
    local rank = last and redis.call('ZRANK', key, last)
    local start = rank and rank + 1 or fell and redis.call('ZCOUNT', key, '-inf', '(' .. fell) or 0
    while #ids < most do
      local rows = redis.call('ZRANGE', key, start, start + 99, 'WITHSCORES')
      for i = 1, #rows, 2 do
        if tonumber(rows[i + 1]) > plan.began then
          return false
        elseif #ids >= most or looks_left <= 0 then
          return true
        end
        looks_left = looks_left - 1
        if (read_record(rows[i], 'tenant')[1] or '') == plan.tenant then
          ids[#ids + 1] = rows[i]
        else
          redis.call('HSET', plan.record, 'passed:' .. key, rows[i] .. ' ' .. rows[i + 1])
        end
      end
      if #rows < 200 then
        return false
      end
      start = start + 100
    end
    return true
  end
  local is_more = false
  for _, key in ipairs(keys) do
    is_more = take(key) or is_more
  end
  return ids, is_more
end

local function keys_of(plan)
  if plan.groups == '' then
    return { P .. KEY.failed }
  end
  local keys = {}
  for _, group in ipairs(split(plan.groups)) do
    -- An empty group can only fill with jobs that fail later, which the redrive does not cover.
    if redis.call('EXISTS', P .. KEY.group .. group) == 1 then
      keys[#keys + 1] = P .. KEY.group .. group
    end
  end
  return keys
end

-- Redrive up to `want` of what is left. Returns their ids, how many dead letters were taken, and whether fewer than that say
-- nothing about whether some are left.
local function redrive(plan, want, of_each)
  local back, keys, ids, is_more = {}, keys_of(plan), nil, false
  want = math.min(want, plan.left)
  if plan.tenant then
    ids, is_more = oldest_of_tenant(plan, keys, want, of_each)
  else
    ids = oldest(keys, plan.began, want, of_each)
  end
  for _, id in ipairs(ids) do
    if revive(id) then
      back[#back + 1] = id
    else
      remove_dead_letter(id)
      count(COUNTER.pruned_dead, 1)
    end
  end
  plan.left = plan.left - #ids
  redriven = redriven + #back
  redis.call('HINCRBY', plan.record, 'retried', #back)
  redis.call('HSET', plan.record, 'left', plan.left)
  return back, #ids, is_more
end

local function keep_record(id)
  local retention = redis.call('HGET', P .. KEY.job .. id, 'retention') or ARGV[2]
  if tonumber(retention) < CANARY_KEPT then
    set_extra(id, 'retention', CANARY_KEPT)
  end
end

-- Some of each group, so that each of them is tried.
local function redrive_canaries(plan)
  local of_each = math.ceil(plan.canary / math.max(#keys_of(plan), 1))
  local ids = redrive(plan, plan.canary, of_each)
  for _, id in ipairs(ids) do
    keep_record(id)
  end
  redis.call('HSET', plan.record, 'canaries', table.concat(ids, ','))
  return now + CHECK_EVERY
end

-- Returns when to continue, nil when there is nothing more to do.
local function check_canaries(plan)
  local completed = 0
  for _, id in ipairs(split(plan.canaries)) do
    local state = read_record(id, 'state')[1]
    if SUCCEEDED[state] then
      completed = completed + 1
    elseif not state or ENDED[state] then
      end_operation(KEY.redrives, plan.record, plan.id, 'stopped', 'canary ' .. id .. ' is ' .. (state or 'gone'))
      return nil
    end
  end
  if completed < #split(plan.canaries) then
    return now + CHECK_EVERY
  end
  redis.call('HSET', plan.record, 'state', 'running')
  return now
end

-- Return how many the rate allows now.
local function allowed(plan)
  if not plan.rate then
    return redrives_left
  end
  -- `stamp` is later than now when the server's clock was set back.
  local stamp = math.min(math.max(plan.stamp, now - 1000 / plan.rate - CATCH_UP), now)
  local due = math.floor((now - stamp) * plan.rate / 1000 + 0.001)
  plan.stamp = stamp + math.min(due, redrives_left) * 1000 / plan.rate
  redis.call('HSET', plan.record, 'stamp', string.format('%.3f', plan.stamp))
  return math.min(due, redrives_left)
end

local function redrive_more(plan)
  local want = allowed(plan)
  local _, taken, is_more = redrive(plan, want, want)
  redrives_left = redrives_left - taken
  if plan.left <= 0 or (taken < want and not is_more) then
    end_operation(KEY.redrives, plan.record, plan.id, 'finished', '')
    return nil
  end
  return plan.rate and math.max(math.ceil(plan.stamp + 1000 / plan.rate), now + SHORTEST_WAIT) or now
end

local function continue_redrive(id)
  local record = P .. KEY.redrive .. id
  local fields = redis.call('HMGET', record, 'state', 'groups', 'canary', 'rate', 'left', 'began', 'stamp', 'canaries',
    'tenant')
  if not fields[1] then
    redis.call('ZREM', P .. KEY.redrives, id)
    return nil
  end
  local plan = {
    id = id, record = record, groups = fields[2], canary = tonumber(fields[3]), rate = tonumber(fields[4]),
    left = tonumber(fields[5]), began = tonumber(fields[6]), stamp = tonumber(fields[7]), canaries = fields[8],
  }
  if fields[9] and fields[9] ~= '' then
    plan.tenant, plan.groups = fields[9], string.sub(plan.groups, 2)
  end
  if fields[1] == 'running' then
    return redrive_more(plan)
  elseif plan.canaries then
    return check_canaries(plan)
  end
  return redrive_canaries(plan)
end

for _, id in ipairs(operations_due(KEY.redrives)) do
  local at = redrives_left > 0 and continue_redrive(id)
  if at then
    redis.call('ZADD', P .. KEY.redrives, at, id)
  end
end

if redriven > 0 then
  ensure_next()
end
write_counts()
return { redriven, next_operation(KEY.redrives), now }
