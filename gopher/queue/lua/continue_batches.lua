-- Continue what is done to all jobs of batches: cancel or retry them. And look at those that have not ended although nothing
-- has happened for a while: some may never have been stored, because who submitted them has died.
--
-- KEYS  1 prefix
-- ARGV  1 limit: how many jobs of each batch a call comes to, about
-- Returns  for how many jobs something was posted, when to continue (ms, '' for never), now

local PAUSE = 500 -- ms while their queues have not taken what was posted
local MOST_POSTED = 20 -- entries that wait for one queue, each with some hundred ids
local posted = 0
allow_when_full()

-- Post what is to be done to some jobs: an entry for each of their queues. Returns whether the queues keep up.
local function post_walk(id, walk, by_queue)
  local keeps_up = true
  for queue, ids in pairs(by_queue) do
    post(queue, walk, id, '', walk, 0, now, table.concat(ids, ','))
    posted = posted + #ids
    keeps_up = keeps_up and redis.call('LLEN', P .. KEY.outbox .. queue) < MOST_POSTED
  end
  return keeps_up
end

-- Returns when to continue, nil when there is nothing more to do.
local function continue_walk(id, record, changed, walk, cursor)
  local page = redis.call('HSCAN', P .. KEY.batch_jobs .. id, cursor, 'COUNT', ARGV[1])
  local by_queue = {}
  for i = 1, #page[2], 2 do
    local state, queue = string.match(page[2][i + 1], '^(%S+) %d+ (%S+) ')
    if walk == REDRIVING and DEAD[state] or walk ~= REDRIVING and state == STATE.pending then
      by_queue[queue] = by_queue[queue] or {}
      table.insert(by_queue[queue], page[2][i])
    end
  end
  local keeps_up = post_walk(id, walk, by_queue)
  if page[1] == '0' then
    redis.call('HDEL', record, 'walk', 'cursor')
    -- One that gets no further is looked at less and less often.
    return now + math.min(math.max(now - (changed or now), SWEPT_AFTER), LONGEST_SWEPT_AFTER)
  end
  redis.call('HSET', record, 'cursor', page[1])
  return keeps_up and now or now + PAUSE
end

local function continue_batch(id)
  local record = P .. KEY.batch .. id
  local fields = redis.call('HMGET', record, 'walk', 'cursor', 'changed')
  if fields[1] then
    return continue_walk(id, record, fields[3], fields[1], fields[2] or 0)
  elseif not fields[3] or redis.call('HEXISTS', record, 'sealed_at') == 0 or end_of_batch(record) then
    return nil
  end
  local sweep_at = fields[3] + SWEPT_AFTER
  if now < sweep_at then
    return sweep_at
  end
  redis.call('HSET', record, 'walk', PROBING)
  return continue_walk(id, record, fields[3], PROBING, 0)
end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. KEY.batch_work, '-inf', now, 'LIMIT', 0, 10)) do
  local at = continue_batch(id)
  if at then
    redis.call('ZADD', P .. KEY.batch_work, at, id)
  else
    redis.call('ZREM', P .. KEY.batch_work, id)
  end
end
local head = redis.call('ZRANGE', P .. KEY.batch_work, 0, 0, 'WITHSCORES')
return { posted, head[2] or '', now }
