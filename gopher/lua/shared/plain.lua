-- The short way of `enqueue`: a single plain job without an idempotency key, which is what nearly all of them are.
-- It stands before all that only the others need: to define a function costs time in each run. A job that comes when
-- others wait and `next` is free has to be ordered among them: it takes the long way too.

local function place_for(priority)
  if redis.call('EXISTS', P .. 'next') == 1 then
    return P .. 'pending:' .. priority
  end
  if redis.call('EXISTS', P .. 'paused', P .. 'pending:high', P .. 'pending:normal', P .. 'pending:low') == 0 then
    return P .. 'next'
  end
end

if #ARGV == 8 and ARGV[8] == '' and ARGV[1] == '' then
  local id, job_type, priority = ARGV[4], ARGV[5], ARGV[6]
  local record = P .. 'job:' .. id
  if redis.call('EXISTS', record) == 1 then
    return { 'OK', now, 'DUPLICATE' }
  end
  local place = place_for(priority)
  if place then
    -- The first write: a server that is out of memory refuses the call here.
    redis.call('HSET', record, 'type', job_type, 'priority', priority, 'state', 'pending', 'since', now,
      'envelope', ARGV[7], 'plain', '1')
    redis.call('LPUSH', place, id)
    redis.call('HINCRBY', P .. 'totals', 'enqueued:' .. job_type .. ':' .. priority, 1)
    return { 'OK', now, 'NEW' }
  end
end
