-- How a job goes back that its worker will say nothing of any more: the worker was lost, or does not hold it.

local returned, died = 0, 0

local function history_row(worker, fields, outcome)
  return string.format('{"attempt":%s,"outcome":"%s","worker":"%s","started_at":%s,"ended_at":%.0f}',
    fields[3] or 0, outcome, worker, fields[6] or now, now)
end

local function give_up(id, fields, history)
  local message = 'the worker that ran it was lost ' .. fields.lost .. ' times'
  redis.call('HSET', P .. 'job:' .. id, 'state', 'failed', 'finished', now, 'history', history, 'lost', fields.lost,
    'duration', now - (tonumber(fields[6]) or now), 'error', '{"type":"WorkerLost","message":"' .. message .. '","permanent":true}')
  redis.call('HDEL', P .. 'job:' .. id, 'token')
  bury(id, fields[7], 'WorkerLost', '')
  died = died + 1
end

-- Put a job back to the head of pending, if it is this worker's; count it as `event`. One that has lost its worker as
-- often as `max_lost` says is taken for the cause, and one that was cancelled has ended.
local function give_back(worker, id, event, max_lost, retention)
  local record = P .. 'job:' .. id
  local fields = read(id, 'state', 'token', 'attempts', 'lost', 'priority', 'started', 'type',
    'cancel', 'retention', 'history', 'unique', 'children', 'holds')
  if fields[1] == 'pending' and fields[5] then
    -- It was handed over, but never begun.
    redis.call('RPUSH', P .. 'pending:' .. fields[5], id)
    returned = returned + 1
    return
  end
  if fields[1] == 'processing' and not fields[2] then
    return set_aside(id)
  end
  if fields[1] ~= 'processing' or string.match(fields[2], '^(.*)%.') ~= worker then
    return
  end
  release(id, fields[13])
  if not (fields[5] and fields[7]) then
    return set_aside(id)
  end
  local job = { retention = fields[9], unique = fields[11], children = fields[12] }
  fields.lost = (tonumber(fields[4]) or 0) + 1
  local history = with_row(fields[10], history_row(worker, fields, 'lost'))
  if fields[8] then
    count('cancelled:' .. fields[7], 1)
    redis.call('HDEL', record, 'token')
    finish(id, 'cancelled', job, retention, 'history', history, 'duration', now - (tonumber(fields[6]) or now))
    return
  end
  if fields.lost >= max_lost then
    give_up(id, fields, history)
    return ended(id, false, job)
  end
  redis.call('RPUSH', P .. 'pending:' .. fields[5], id)
  redis.call('HSET', record, 'state', 'pending', 'since', now, 'lost', fields.lost, 'history', history)
  redis.call('HDEL', record, 'token', 'progress')
  count(event .. ':' .. fields[7], 1)
  returned = returned + 1
end
