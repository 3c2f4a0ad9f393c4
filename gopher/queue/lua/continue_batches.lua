-- Continue what is done to all jobs of batches: cancel or retry them. And look at those that have not ended although nothing
-- has happened for a while: some may never have been stored, because who submitted them has died.
--
-- KEYS  1 prefix
-- ARGV  1 limit: how many jobs of each batch a call comes to, about
-- Returns  for how many jobs something was posted, when to continue (ms, '' for never), now

local PAUSE = 500 -- ms while their queues have not taken what was posted
local SWEPT_SOON = 1000 -- ms after a cancellation has come to all jobs that it is repeated
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

-- Returns when to look at the jobs of a batch again: those of one that was just cancelled soon, since some may still be about to
-- be stored. One that gets no further is looked at less and less often.
local function next_sweep(batch)
  if batch.is_new_cancellation then
    return now + math.max(now - batch.cancelled_at, SWEPT_SOON)
  end
  return now + math.min(math.max(now - (batch.changed or now), SWEPT_AFTER), LONGEST_SWEPT_AFTER)
end

-- Returns when to continue.
local function continue_walk(id, record, batch, walk, cursor)
  local page = redis.call('HSCAN', P .. KEY.batch_jobs .. id, cursor, 'COUNT', ARGV[1])
  local by_kind = { [CANCELLING] = {}, [REDRIVING] = {}, [PROBING] = {} }
  local function add(kind, queue, job_id)
    local by_queue = by_kind[kind]
    by_queue[queue] = by_queue[queue] or {}
    table.insert(by_queue[queue], job_id)
  end
  for i = 1, #page[2], 2 do
    local job_id, state, round, queue = page[2][i], string.match(page[2][i + 1], '^(%S+) (%d+) (%S+) ')
    if walk == REDRIVING and DEAD[state] then
      add(REDRIVING, queue, job_id)
    elseif walk ~= REDRIVING and state == STATE.pending then
      -- Some may have been stored after their batch was cancelled. Those that were retried since are left alone.
      if walk == CANCELLING or (batch.cancelled_at and round == '0') then
        add(CANCELLING, queue, job_id)
      end
      -- Not too early: one that is about to be stored would count as never stored.
      if walk == PROBING and (batch.is_quiet or not batch.cancelled_at) then
        add(PROBING, queue, job_id)
      end
    end
  end
  local keeps_up = post_walk(id, CANCELLING, by_kind[CANCELLING])
  keeps_up = post_walk(id, REDRIVING, by_kind[REDRIVING]) and keeps_up
  keeps_up = post_walk(id, PROBING, by_kind[PROBING]) and keeps_up
  if page[1] == '0' then
    redis.call('HDEL', record, 'walk', 'cursor')
    return next_sweep(batch)
  end
  redis.call('HSET', record, 'cursor', page[1])
  return keeps_up and now or now + PAUSE
end

-- Returns when to continue, nil when there is nothing more to do.
local function continue_batch(id)
  local record = P .. KEY.batch .. id
  local fields = redis.call('HMGET', record, 'walk', 'cursor', 'changed', 'cancelled_at')
  local batch = { changed = tonumber(fields[3]), cancelled_at = tonumber(fields[4]) }
  batch.is_quiet = batch.changed and now >= batch.changed + SWEPT_AFTER
  batch.is_new_cancellation = batch.cancelled_at and now < batch.cancelled_at + SWEPT_AFTER
  if fields[1] then
    return continue_walk(id, record, batch, fields[1], fields[2] or 0)
  elseif not batch.changed or redis.call('HEXISTS', record, 'sealed_at') == 0 or end_of_batch(record) then
    return nil
  elseif not (batch.is_quiet or batch.is_new_cancellation) then
    return batch.changed + SWEPT_AFTER
  end
  redis.call('HSET', record, 'walk', PROBING)
  return continue_walk(id, record, batch, PROBING, 0)
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
