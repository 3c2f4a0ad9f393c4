-- How a job is requeued on which its worker will never report: the worker was lost, or does not hold the job.

local returned, died = 0, 0

local function history_row(worker, fields, outcome)
  return string.format('{"attempt":%s,"outcome":"%s","worker":"%s","started_at":%s,"ended_at":%.0f}',
    fields[3] or 0, outcome, worker, fields[6] or now, now)
end

local function bury(id, fields, history)
  local message = 'the worker that ran it was lost ' .. fields.lost .. ' times'
  redis.call('HSET', P .. KEY.job .. id, 'state', STATE.failed, 'finished', now, 'history', history, 'lost', fields.lost,
    'duration', now - (tonumber(fields[6]) or now), 'error', '{"type":"WorkerLost","message":"' .. message .. '","permanent":true}')
  redis.call('HDEL', P .. KEY.job .. id, 'token')
  add_dead_letter(id, fields[7], 'WorkerLost', '')
  died = died + 1
end

-- Put a job back to the head of pending if it is this worker's; count it with `counter`. A job that has lost its worker
-- `max_lost` times is assumed to be the cause and becomes a dead letter; one that was cancelled ends.
local function give_back(worker, id, counter, max_lost, retention)
  local record = P .. KEY.job .. id
  local fields = read_record(id, 'state', 'token', 'attempts', 'lost', 'priority', 'started', 'type',
    'cancel', 'retention', 'history', 'unique', 'children', 'holds', 'owner', 'tells', 'tenant', 'tenant_slot')
  if fields[1] == STATE.pending and fields[5] then
    -- It was handed over, but never started.
    push_pending('RPUSH', id, fields[5], fields[16])
    returned = returned + 1
    return
  end
  if fields[1] == STATE.processing and not fields[2] then
    return note_corrupt(id)
  end
  if fields[1] ~= STATE.processing or string.match(fields[2], '^(.*)%.') ~= worker then
    return
  end
  free_slot(id, fields[13])
  free_slot(id, fields[17], 'tenant_slot')
  if not (fields[5] and fields[7]) then
    return note_corrupt(id)
  end
  local job = { retention = fields[9], unique = fields[11], children = fields[12], tells = fields[15] }
  fields.lost = (tonumber(fields[4]) or 0) + 1
  local history = with_row(fields[10], history_row(worker, fields, 'lost'))
  if fields[8] then
    count(COUNTER.cancelled .. fields[7], 1)
    redis.call('HDEL', record, 'token')
    finish(id, STATE.cancelled, job, retention, 'history', history, 'duration', now - (tonumber(fields[6]) or now))
    return
  end
  if fields.lost >= max_lost then
    bury(id, fields, history)
    return after_end(id, STATE.failed, job)
  end
  push_pending('RPUSH', id, fields[5], fields[16])
  redis.call('HSET', record, 'state', STATE.pending, 'since', now, 'lost', fields.lost, 'history', history)
  redis.call('HDEL', record, 'token', 'progress')
  count(counter .. fields[7], 1)
  count_owner(fields[14], 1)
  returned = returned + 1
end
