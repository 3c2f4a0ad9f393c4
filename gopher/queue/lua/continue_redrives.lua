-- Go on with what is retried by and by: look how the first ones have fared, let more follow at the rate.
--
-- failed -> pending
--
-- KEYS  1 prefix
-- ARGV  1 limit  2 default retention ms
-- Returns  how many went back, when to look again (ms, '' for never), now
-- uses: base clock rare arm dead revive redrives
local budget = tonumber(ARGV[1])
local returned = 0
local FIRST_KEPT = 3600000 -- ms that the record of one of the first ones is kept at least: its end must be seen
local LOOK = 500 -- ms between two looks at the first ones
local LEAST_WAIT = 20 -- ms: at a higher rate several go at a time
local MADE_UP = 100 -- ms: what the rate would have let go while nobody looked for longer is not made up for
open_when_full()

local function split(text)
  local parts = {}
  for part in string.gmatch(text or '', '[^,]+') do
    parts[#parts + 1] = part
  end
  return parts
end

-- Return ids of dead letters of before `began`, at most `want` of each of the places and in all. The oldest of a
-- place come first.
local function oldest(places, began, want, of_each)
  local ids = {}
  for _, place in ipairs(places) do
    local most = math.min(of_each, want - #ids)
    for _, id in ipairs(most > 0 and redis.call('ZRANGEBYSCORE', place, '-inf', began, 'LIMIT', 0, most) or {}) do
      ids[#ids + 1] = id
    end
  end
  return ids
end

local function places_of(plan)
  if plan.groups == '' then
    return { P .. 'failed' }
  end
  local places = {}
  for _, group in ipairs(split(plan.groups)) do
    -- One that is empty fills only with those that die later.
    if redis.call('EXISTS', P .. 'group:' .. group) == 1 then
      places[#places + 1] = P .. 'group:' .. group
    end
  end
  return places
end

-- Retry up to `want` of what is left. Returns their ids, and how many were taken off.
local function retry(plan, want, of_each)
  local back = {}
  local ids = oldest(places_of(plan), plan.began, math.min(want, plan.left), of_each)
  for _, id in ipairs(ids) do
    if revive(id) then
      back[#back + 1] = id
    else
      exhume(id)
      count('pruned_dead', 1)
    end
  end
  plan.left = plan.left - #ids
  returned = returned + #back
  redis.call('HINCRBY', plan.record, 'retried', #back)
  redis.call('HSET', plan.record, 'left', plan.left)
  return back, #ids
end

local function keep(id)
  local retention = redis.call('HGET', P .. 'job:' .. id, 'retention') or ARGV[2]
  if tonumber(retention) < FIRST_KEPT then
    set_rare(id, 'retention', FIRST_KEPT)
  end
end

-- Some of each group, so that each of them is tried.
local function send_first_ones(plan)
  local each = math.ceil(plan.canary / math.max(#places_of(plan), 1))
  local ids = retry(plan, plan.canary, each)
  for _, id in ipairs(ids) do
    keep(id)
  end
  redis.call('HSET', plan.record, 'canaries', table.concat(ids, ','))
  return now + LOOK
end

-- Returns when to look again, nil when there is nothing more to do.
local function look_at_first_ones(plan)
  local ended = 0
  for _, id in ipairs(split(plan.canaries)) do
    local state = read(id, 'state')[1]
    if state == 'completed' then
      ended = ended + 1
    elseif not state or state == 'failed' or state == 'cancelled' or state == 'expired' then
      end_redrive(plan.id, 'stopped', 'job ' .. id .. ' of the first ones is ' .. (state or 'gone'))
      return nil
    end
  end
  if ended < #split(plan.canaries) then
    return now + LOOK
  end
  redis.call('HSET', plan.record, 'state', 'running')
  return now
end

-- How many may go now by the rate.
local function room(plan)
  if not plan.rate then
    return budget
  end
  -- `stamp` is later than now when the server's clock was set back.
  local stamp = math.min(math.max(plan.stamp, now - 1000 / plan.rate - MADE_UP), now)
  local due = math.floor((now - stamp) * plan.rate / 1000 + 0.001)
  plan.stamp = stamp + math.min(due, budget) * 1000 / plan.rate
  redis.call('HSET', plan.record, 'stamp', string.format('%.3f', plan.stamp))
  return math.min(due, budget)
end

local function send_more(plan)
  local want = room(plan)
  local _, taken = retry(plan, want, want)
  budget = budget - taken
  if plan.left <= 0 or taken < want then
    end_redrive(plan.id, 'finished', '')
    return nil
  end
  return plan.rate and math.max(math.ceil(plan.stamp + 1000 / plan.rate), now + LEAST_WAIT) or now
end

local function go_on(id)
  local record = P .. 'redrive:' .. id
  local fields = redis.call('HMGET', record, 'state', 'groups', 'canary', 'rate', 'left', 'began', 'stamp', 'canaries')
  if not fields[1] then
    redis.call('ZREM', P .. 'redrives', id)
    return nil
  end
  local plan = {
    id = id, record = record, groups = fields[2], canary = tonumber(fields[3]), rate = tonumber(fields[4]),
    left = tonumber(fields[5]), began = tonumber(fields[6]), stamp = tonumber(fields[7]), canaries = fields[8],
  }
  if fields[1] == 'running' then
    return send_more(plan)
  elseif plan.canaries then
    return look_at_first_ones(plan)
  end
  return send_first_ones(plan)
end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'redrives', '-inf', now, 'LIMIT', 0, 10)) do
  local look_at = budget > 0 and go_on(id)
  if look_at then
    redis.call('ZADD', P .. 'redrives', look_at, id)
  end
end

if returned > 0 then
  arm()
end
write_counts()
local head = redis.call('ZRANGE', P .. 'redrives', 0, 0, 'WITHSCORES')
return { returned, head[2] and tonumber(head[2]) < OVER and head[2] or '', now }
