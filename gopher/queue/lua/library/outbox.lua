-- What a job's end tells something in another queue, which may be in another slot: the entries for each queue wait in a list
-- of their own, until a scheduler has delivered them (see gopher/queue/relay.py).

local DELETED = 'deleted' -- the state that is told of a waiting job which is deleted

local MOVED = 'moved' -- what is told of a job that departs for another queue, or arrives there

-- Post an entry for a queue: its kind, what it is about, and what the kind's delivery needs.
local function post(to, ...)
  redis.call('RPUSH', P .. KEY.outbox .. to, cmsgpack.pack({ ... }))
  -- While some are being delivered, who does that finds those that have come meanwhile.
  if redis.call('ZADD', P .. KEY.outboxes, 'NX', now, to) == 1 then
    wake_scheduler(now)
  end
end

-- Post to a queue with jobs that wait for this one how it has ended, with its result and for how many ms that is kept.
local function post_end_of_parent(to, id, state)
  local result, left = '', 0
  if SUCCEEDED[state] then
    result = redis.call('HGET', P .. KEY.job .. id, 'result') or ''
    left = redis.call('PTTL', P .. KEY.job .. id)
  end
  post(to, 'parent', '', id, state, 0, now, result, left)
end

-- Post what a job has to tell: `tells` names it, as '<kind> <queue> <what it is about>', joined by commas. An entry is
-- {kind, what it is about, id, state, round, ms since 1970}. A dead letter may be redriven and end again, so each of its
-- failures and redrives has the number of its round; other ends are final and have 0.
local function post_state(id, state, tells)
  local round = 0
  if DEAD[state] or WAITING[state] then
    round = redis.call('HINCRBY', P .. KEY.job .. id, 'rounds', 1)
  end
  for _, each in ipairs(split(tells)) do
    local kind, to, about = string.match(each, '^(%S+) (%S+) ?(.*)$')
    if kind == 'parent' and not WAITING[state] then
      post_end_of_parent(to, id, state)
    elseif kind and kind ~= 'parent' then
      post(to, kind, about, id, state, round, now)
    end
  end
end

-- Post to the batches of a job that it departs for a queue, or has arrived in this one. Its steps are numbered, since what is told
-- comes from several queues: an odd number says that it is on its way.
local function post_step(id, tells, to)
  for _, each in ipairs(split(tells)) do
    local kind, home, about = string.match(each, '^(%S+) (%S+) ?(.*)$')
    if kind == 'batch' then
      post(home, kind, about, id, MOVED, redis.call('HINCRBY', P .. KEY.job .. id, 'steps', 1), now, to)
    end
  end
end
