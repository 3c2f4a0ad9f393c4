-- The short way of `enqueue`: a single plain job without an idempotency key, which is what nearly all of them are.
-- It stands before all that only the others need, `base` too: to define a function costs time in each run. A job that
-- comes when others wait and `next` is free has to be ordered among them: it goes on the long way, as others come.

local jobs = {} -- the values of all jobs, one after the other, but for their envelopes
local alone = #ARGV == 4
if alone then
  local P = KEYS[1]
  local id, job_type, priority = ARGV[1], ARGV[2], ARGV[3]
  local record, first = P .. 'job:' .. id, P .. 'next'
  -- A key that is named twice counts twice, so that one look tells both.
  local there = redis.call('EXISTS', record, first, first)
  if there % 2 == 1 then
    return { 'OK', 1, 'DUPLICATE' }
  end
  local place
  if there == 2 then
    place = P .. 'pending:' .. priority
  elseif redis.call('EXISTS', P .. 'paused', P .. 'pending:high', P .. 'pending:normal', P .. 'pending:low') == 0 then
    place = first
  end
  if place then
    -- The first write: a server that is out of memory refuses the call here.
    redis.call('HSET', record, 'type', job_type, 'priority', priority, 'state', 'pending', 'since', now,
      'envelope', ARGV[4], 'plain', '1')
    redis.call('LPUSH', place, id)
    redis.call('HINCRBY', P .. 'totals', 'enqueued:' .. job_type .. ':' .. priority, 1)
    return { 'OK' }
  end
  jobs = { id, job_type, priority, '' }
end
