-- Imported jobs may arrive before the jobs that they wait for. Then awaiting:<id> has their ids, and `awaited` the id.

-- Have a job wait for another one than its record says.
local function replace_parent(child, id, to)
  local record, parents = P .. KEY.job .. child, {}
  for _, parent in ipairs(split(redis.call('HGET', record, 'parents') or '')) do
    parents[#parents + 1] = parent == id and to or parent
  end
  redis.call('HSET', record, 'parents', table.concat(parents, ','))
end

-- The job `id` has arrived, or the job `to` takes its place: have that notify those which wait for it when it ends. If it
-- has ended, or is not there, `state` is how it ended, if that is known.
local function link_awaiting(id, to, state)
  if redis.call('SREM', P .. KEY.awaited, id) == 0 then
    return
  end
  local record, list = P .. KEY.job .. to, P .. KEY.awaiting .. id
  local ended = has_ended(to)
  local ids = redis.call('LPOP', list, 1000)
  while ids and #ids > 0 do
    for _, child in ipairs(id ~= to and ids or {}) do
      replace_parent(child, id, to)
    end
    if ended then
      redis.call('RPUSH', P .. KEY.children .. to, unpack(ids))
      redis.call('SADD', P .. KEY.families, to)
    else
      add_children(to, redis.call('HGET', record, 'children') or nil, ids)
    end
    ids = redis.call('LPOP', list, 1000)
  end
  if ended then
    redis.call('RPUSH', P .. KEY.telling, (SUCCEEDED[state] and '+' or '-') .. to .. ' ')
    wake_scheduler(now)
  end
end

-- Wait for a job that has not been imported yet.
local function await_parent(parent, id)
  redis.call('RPUSH', P .. KEY.awaiting .. parent, id)
  redis.call('SADD', P .. KEY.awaited, parent)
end
