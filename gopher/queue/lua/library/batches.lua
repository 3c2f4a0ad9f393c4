-- Batches of jobs in any queues. The record batch:<id> counts them by state: 'n:<state>', and 't:<type>:<state>'. For each
-- job batch_jobs:<id> has '<state> <round> <queue> <type>': as it was counted last, so that it is counted once, however
-- often its end is told. Of a job that was moved the number of its last step follows.

local UNSTORED = 'unstored' -- the state of a job that was announced, but never stored: it does not count
local SWEPT_AFTER = 30000 -- ms without a change after which jobs that have not ended are looked at
local LONGEST_SWEPT_AFTER = 600000 -- ms: the time doubles until then

-- Return how many jobs of a batch are in the states of a table, or deleted.
local function jobs_in(record, states)
  local names = { 'n:' .. DELETED }
  for state in pairs(states) do
    names[#names + 1] = 'n:' .. state
  end
  local sum = 0
  for _, jobs in ipairs(redis.call('HMGET', record, unpack(names))) do
    sum = sum + (tonumber(jobs) or 0)
  end
  return sum
end

-- Note that something has happened for the first time, and post the callback for it, if the batch has one. `state` is how it
-- has ended, if that is it.
local function fire(id, record, event, state)
  if redis.call('HSETNX', record, event .. '_at', now) == 0 then
    return
  end
  if state then
    note_end_of_batch(id, state)
  end
  local fields = redis.call('HMGET', record, 'on_' .. event, 'queue_' .. event)
  if fields[1] then
    post(fields[2], 'callback', id, '', event, 0, now, fields[1])
  end
end

local function keep_batch(id, ms)
  for _, key in ipairs({ P .. KEY.batch .. id, P .. KEY.batch_jobs .. id }) do
    if ms then
      redis.call('PEXPIRE', key, ms)
    else
      redis.call('PERSIST', key)
    end
  end
end

-- Tell those that wait for a batch how it has ended.
local function tell_followers(id, record, state)
  for _, to in ipairs(split(redis.call('HGET', record, 'followers') or '')) do
    post(to, 'parent', '', id, state, 0, now, '', 0)
  end
  redis.call('HDEL', record, 'followers')
end

-- Return how a batch has ended: completed if all its jobs are; nil while some have not ended, or it is open.
local function end_of_batch(record)
  local fields = redis.call('HMGET', record, 'sealed_at', 'n:' .. STATE.pending)
  if not fields[1] or (tonumber(fields[2]) or 0) > 0 then
    return nil
  end
  local completed = tonumber(redis.call('HGET', record, 'n:' .. STATE.completed)) or 0
  return jobs_in(record, ENDED) == completed and STATE.completed or STATE.failed
end

-- A batch has changed: have its callbacks run once all its jobs have ended. An open one is kept for a while after each
-- change, one with jobs that have not ended for as long as it takes.
local function check_batch(id)
  local record = P .. KEY.batch .. id
  local fields = redis.call('HMGET', record, 'sealed_at', 'retention')
  redis.call('HSET', record, 'changed', now)
  local state = end_of_batch(record)
  if not state and fields[1] then
    keep_batch(id, nil)
    redis.call('ZADD', P .. KEY.batch_work, 'NX', now + SWEPT_AFTER, id)
    return
  end
  if state then
    if redis.call('HEXISTS', record, 'complete_at') == 0 and not SUCCEEDED[state] then
      fire(id, record, 'failure', state)
    end
    fire(id, record, 'complete')
    if SUCCEEDED[state] then
      fire(id, record, 'success', state)
    end
    tell_followers(id, record, state)
  end
  keep_batch(id, fields[2])
end

local changed_batches = {} -- id -> field of its record -> by how much it has changed

local function count_batch(id, state, job_type, by)
  local changes = changed_batches[id] or {}
  changed_batches[id] = changes
  for _, field in ipairs({ 'n:' .. state, 't:' .. job_type .. ':' .. state }) do
    changes[field] = (changes[field] or 0) + by
  end
end

-- Return whether a job of a batch that was counted in one state is in another one now. Ends are final, except that of a dead
-- letter: its failures and redrives have rounds.
local function is_news(old, old_round, state, round)
  if old == DELETED or FINISHED[old] then
    return false
  elseif state == UNSTORED then
    return old == STATE.pending and old_round == 0
  elseif DEAD[state] or state == STATE.pending then
    return old == UNSTORED or round > old_round
  end
  return true
end

-- Return what a batch knows of a job: state, round, queue, type, step; nothing if it does not know it.
local function read_job_of(jobs, job_id)
  local row = redis.call('HGET', jobs, job_id)
  local state, round, queue, job_type, step = string.match(row or '', '^(%S+) (%d+) (%S+) (%S+) ?(%d*)$')
  return state, tonumber(round), queue, job_type, tonumber(step) or 0
end

local function write_job_of(jobs, job_id, state, round, queue, job_type, step)
  local row = table.concat({ state, round, queue, job_type, step > 0 and step or nil }, ' ')
  redis.call('HSET', jobs, job_id, row)
end

-- Count that a job of a batch is in a state now, as `origin` tells. Returns whether that is news.
local function count_job(id, job_id, state, round, origin)
  local jobs = P .. KEY.batch_jobs .. id
  local old, old_round, queue, job_type, step = read_job_of(jobs, job_id)
  if not old or not is_news(old, old_round, state, round) then
    return false
  elseif state == UNSTORED and origin and (step % 2 == 1 or origin ~= queue) then
    -- It has left the queue that does not have it.
    return false
  end
  write_job_of(jobs, job_id, state, round, queue, job_type, step)
  count_batch(id, old, job_type, -1)
  count_batch(id, state, job_type, 1)
  return true
end

-- Note where a job of a batch goes, or is. One that arrives after its batch was cancelled, as far as it has no other state since,
-- is cancelled there.
local function note_step(id, job_id, _, step, to)
  local jobs = P .. KEY.batch_jobs .. id
  local state, round, _, job_type, known = read_job_of(jobs, job_id)
  if not state or step <= known then
    return
  end
  write_job_of(jobs, job_id, state, round, to, job_type, step)
  if step % 2 == 0 and state == STATE.pending and round == 0
      and redis.call('HEXISTS', P .. KEY.batch .. id, 'cancelled_at') == 1 then
    post(to, CANCELLING, id, '', CANCELLING, 0, now, job_id)
  end
end

local function write_batches()
  for id, changes in pairs(changed_batches) do
    for field, by in pairs(changes) do
      if by ~= 0 then
        redis.call('HINCRBY', P .. KEY.batch .. id, field, by)
      end
    end
    check_batch(id)
  end
end
